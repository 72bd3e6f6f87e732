"""Who looked at stored data, took it out or erased it is on record, and what can't be recorded is not shown."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from logs.models import AccessRecord, Action, Log
from logs.store import access_records, purge
from tests.builders import a_click, a_log, a_staff_user, refusal, store_logs
from tests.conftest import decoded

ANN = "private-ann"
EVERYTHING = ("view_log", "view_action", "erase_user")


@pytest.fixture
def staff(client, db):
    client.force_login(a_staff_user(*EVERYTHING))
    store_logs(a_log(user=ANN), a_log(user="bob"))
    return client


@pytest.fixture
def keeper(client, db):
    """Staff who may see the records and nothing else."""
    client.force_login(a_staff_user("view_accessrecord"))
    return client


def records():
    fields = ["by", "kind", "user_id", "selection", "count"]
    return list(AccessRecord.objects.order_by("id").values_list(*fields))


def log_of(user):
    return Log.objects.get(user_id=user)


def log_page(user=ANN):
    return reverse("admin:logs_log_change", args=[log_of(user).id])


def test_who_looks_at_a_log_is_on_record(staff):
    before = timezone.now()
    assert staff.get(log_page()).status_code == 200
    assert records() == [("staff", "VIEW", ANN, f"one user, log {log_of(ANN).id}", 3)]
    assert before <= AccessRecord.objects.get().time <= timezone.now()


def test_who_looks_at_an_action_is_on_record(staff):
    action = Action.objects.filter(user_id=ANN).first()
    staff.get(reverse("admin:logs_action_change", args=[action.id]))
    assert records() == [("staff", "VIEW", ANN, f"one user, action {action.id}", 1)]


@pytest.mark.parametrize(
    "query, user, selection, count",
    [
        ({}, "", "everybody", 6),
        ({"user": ANN}, ANN, "one user", 3),
        ({"types": ["CLICK", "VIEW"]}, "", "everybody, types CLICK, VIEW", 4),
        ({"from": "2018-10-18T00:00"}, "", "everybody, from 2018-10-18 00:00:00+00:00", 6),
    ],
    ids=["everybody", "user", "types", "time"],
)
def test_a_list_of_actions_and_its_export_are_on_record_with_their_selection(staff, query, user, selection, count):
    staff.get(reverse("admin:logs_action_changelist"), query)
    export = staff.get(reverse("admin:logs_action_export", args=["ndjson"]), query)
    assert records()[1] == ("staff", "EXPORT", user, selection, None)
    assert len(b"".join(export).splitlines()) == len({"bob", ANN} if not user else {user})
    assert records() == [
        ("staff", "VIEW", user, selection, count),
        ("staff", "EXPORT", user, selection, count),
    ]


@pytest.mark.django_db(transaction=True)
def test_an_export_that_is_broken_off_says_how_much_was_read(client):
    client.force_login(a_staff_user(*EVERYTHING))
    store_logs(*(a_log(*[a_click()] * 100, user=str(number)) for number in range(100)))
    export = client.get(reverse("admin:logs_action_export", args=["csv"]))
    next(iter(export.streaming_content))
    export.close()
    [(*_, count)] = records()
    assert 0 < count < 10_000


def test_an_export_by_a_command_is_by_the_systems_user(staff, command, tmp_path):
    command("exportlogs", "--user", ANN, "--from", "2018-01-01T00:00:00-06:00", "-o", tmp_path / "logs.csv")
    [(by, *others)] = records()
    assert by.endswith(" (command)")
    assert others == ["EXPORT", ANN, "one user, from 2018-01-01T00:00:00-06:00", 3]


def test_what_is_refused_is_not_on_record(staff):
    assert staff.get(reverse("admin:logs_action_export", args=["xls"])).status_code == 404
    assert staff.get(reverse("admin:logs_action_export", args=["csv"]), {"from": "x"}).status_code == 400
    assert staff.get(reverse("admin:logs_log_change", args=[999_999])).status_code == 404
    with pytest.raises(CommandError):
        call_command("exportlogs", "--from", "x", stdout=io.StringIO(), stderr=io.StringIO())
    assert records() == []


def test_an_erasure_is_on_record_without_the_id_and_takes_it_from_earlier_records(staff, command):
    staff.get(log_page())
    staff.get(log_page("bob"))
    log_id = log_of(ANN).id
    staff.post(reverse("admin:logs_log_erase_user", args=[log_id]), {"confirmation": ANN})
    assert [(kind, user, count) for _, kind, user, _, count in records()] == [
        ("VIEW", "", 3),
        ("VIEW", "bob", 3),
        ("ERASE", "", 3),
    ]
    assert ANN not in str(list(AccessRecord.objects.values()))
    command("exportlogs", "--user", ANN)
    assert records()[-1][1:] == ("EXPORT", "", "one user", 0)
    assert "Findings: 0" in command("verifylogs")


def test_a_record_that_comes_right_after_the_erasure_has_no_id(db):
    purge.erase_user(ANN, "tester")
    access_records.note("VIEW", "staff", "one user, log 1", ANN)
    assert records()[-1] == ("staff", "VIEW", "", "one user, log 1", None)


@pytest.fixture
def read_only(client, transactional_db):
    """Make the database read-only, as a standby or a full disk is, after staff has logged in."""
    client.force_login(a_staff_user(*EVERYTHING))
    client.raise_request_exception = False
    store_logs(a_log(user=ANN))

    def switch(to):
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"PRAGMA query_only = {to}")
            else:
                cursor.execute(f"SET default_transaction_read_only = {to}")

    switch("on")
    yield client
    switch("off")


@pytest.mark.parametrize("page", ["log", "action", "actions", "export"])
def test_nothing_is_shown_while_it_cannot_be_recorded(read_only, page):
    url = {
        "log": log_page(),
        "action": reverse("admin:logs_action_change", args=[Action.objects.first().id]),
        "actions": reverse("admin:logs_action_changelist"),
        "export": reverse("admin:logs_action_export", args=["csv"]),
    }[page]
    answer = read_only.get(url, headers={"Accept": "application/json"})
    assert refusal(answer) == (503, "STORE_UNAVAILABLE")
    assert len(decoded(read_only.get("/logs/"))) == 1


def test_no_file_is_exported_while_it_cannot_be_recorded(read_only, tmp_path):
    with pytest.raises(CommandError, match="can't be used"):
        call_command("exportlogs", "-o", str(tmp_path / "logs.csv"), stdout=io.StringIO(), stderr=io.StringIO())
    assert list(tmp_path.iterdir()) == []


class TestList:
    URL = "/admin/logs/accessrecord/"

    @pytest.fixture(autouse=True)
    def three(self, db):
        access_records.note("VIEW", "ann", "one user, log 1", "u-1", 3)
        access_records.note("EXPORT", "root (command)", "everybody", count=70)
        access_records.note("VIEW", "bob", "one user, log 2", "u-2", 5)
        AccessRecord.objects.filter(by="bob").update(time=timezone.now() - timedelta(days=40))

    def shown(self, keeper, **query):
        return [record.by for record in keeper.get(self.URL, query).context["cl"].result_list]

    @pytest.mark.parametrize(
        "query, expected",
        [
            ({}, ["root (command)", "ann", "bob"]),
            ({"kind__exact": "EXPORT"}, ["root (command)"]),
            ({"by": "bob"}, ["bob"]),
            ({"q": "u-1"}, ["ann"]),
            ({"q": "u"}, []),
        ],
        ids=str,
    )
    def test_is_newest_first_and_narrowed_by_who_what_and_whose(self, keeper, query, expected):
        assert self.shown(keeper, **query) == expected

    def test_is_narrowed_by_time(self, keeper):
        since = (timezone.now() - timedelta(days=7)).isoformat()
        assert self.shown(keeper, time__gte=since) == ["root (command)", "ann"]

    def test_old_ones_are_purged_on_their_own(self, command):
        store_logs(a_log())
        ask = ["purgelogs", "--access-older-than", "30d"]
        assert command(*ask, "--dry-run") == "Would delete: 1 access record.\n"
        assert AccessRecord.objects.count() == 3
        assert command(*ask, "--yes") == "To delete: 1 access record.\nDeleted: 1 access record.\n"
        assert sorted(AccessRecord.objects.values_list("by", flat=True)) == ["ann", "root (command)"]
        assert Log.objects.count() == 1

    @pytest.mark.parametrize("other", [["--user", "u"], ["--older-than", "1d"]], ids=str)
    def test_a_purge_is_of_records_or_of_logs(self, command, other):
        with pytest.raises(CommandError, match="goes alone"):
            command("purgelogs", "--access-older-than", "30d", "--yes", *other)

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_nobody_adds_changes_or_deletes_a_record(self, admin_client, method):
        record = AccessRecord.objects.first()
        send = getattr(admin_client, method)
        assert send(f"{self.URL}add/").status_code == 403
        assert send(f"{self.URL}{record.pk}/delete/").status_code == 403
        assert admin_client.post(f"{self.URL}{record.pk}/change/", {"by": "x"}).status_code == 403
        assert admin_client.post(
            self.URL, {"action": "delete_selected", "_selected_action": record.pk}
        ).status_code in (
            200,
            302,
            403,
        )
        assert AccessRecord.objects.count() == 3
        assert json.dumps(records()[0]) == json.dumps(["ann", "VIEW", "u-1", "one user, log 1", 3])

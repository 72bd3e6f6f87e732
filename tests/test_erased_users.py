"""A user who was erased stays erased: nothing of theirs is stored again, until they are forgiven."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from logs.models import Action, ErasedUser, Log
from logs.store import erasures, purge, writing
from tests.builders import (
    a_click,
    a_log,
    a_staff_user,
    a_view,
    as_lines,
    at_once,
    gzipped,
    many_logs,
    places,
    refusal,
    store_logs,
    stored_actions,
    stored_logs,
)
from tests.server import wait_until

ANN = "private-ann"
BY = "tester"


@pytest.fixture
def erased(db):
    """Ann was stored and erased."""
    store_logs(a_log(user=ANN), a_log(user="bob"))
    purge.erase_user(ANN, BY)


@pytest.fixture
def file(tmp_path):
    def write(*logs, name="logs.ndjson"):
        path = tmp_path / name
        path.write_bytes(as_lines(*logs))
        return path

    return write


@pytest.mark.parametrize("count", [1, 3, writing.MAX_ACTIONS_IN_STATEMENT + 1], ids=["one", "few", "many"])
def test_a_batch_that_names_an_erased_user_is_refused_whole(erased, post, count):
    answer = post([a_log(user="carl"), a_log(*[a_click()] * count, user=ANN), a_log(user="dora"), a_log(user=ANN)])
    assert refusal(answer) == (403, "USER_ERASED")
    assert places(answer) == [("USER_ERASED", "/1/userId"), ("USER_ERASED", "/3/userId")]
    assert list(Log.objects.values_list("user_id", flat=True)) == ["bob"]
    assert stored_actions() == 3


@pytest.mark.parametrize("user", ["Private-Ann", f" {ANN}", f"{ANN}\n", "private"])
def test_ids_that_are_only_alike_are_let_in(erased, post, user):
    assert post([a_log(user=user)]).status_code == 200


def test_lines_are_pointed_at_by_their_index_blank_ones_counted(erased, post_bytes):
    body = b"\n" + as_lines(a_log(user="carl")) + b"  \n" + as_lines(a_log(user=ANN), a_log(user=ANN, session="2"))
    for sent, headers in ((body, {}), (gzipped(body), {"Content-Encoding": "gzip"})):
        answer = post_bytes(sent, "application/x-ndjson", **headers)
        assert places(answer) == [("USER_ERASED", "/3/userId"), ("USER_ERASED", "/4/userId")]


def test_of_many_logs_a_hundred_are_listed(erased, post):
    answer = post([a_log(a_click(), user=ANN, session=str(number)) for number in range(150)])
    assert len(places(answer)) == 100
    assert places(answer)[-1] == ("USER_ERASED", "/99/userId")


def test_a_body_with_other_violations_is_answered_with_those(erased, post):
    answer = post([a_log(user=ANN), a_log(a_view(viewed_id=7), user="carl")])
    assert (refusal(answer), places(answer)) == (
        (400, "INVALID_VIEWEDID_VALUE"),
        [("INVALID_VIEWEDID_VALUE", "/1/actions/0/properties/viewedId")],
    )


def test_one_who_had_nothing_stored_is_refused_from_then_on_too(db, command, post):
    command("purgelogs", "--user", ANN, "--yes")
    assert refusal(post([a_log(user=ANN)])) == (403, "USER_ERASED")


def test_it_is_asked_first_even_where_nothing_is_stored(manage):
    done = manage.run("purgelogs", "--user", ANN)
    assert (done.returncode, b"Delete them for good?" in done.stderr) == (1, True)
    assert b"Nothing of this user will be stored from then on." in done.stdout
    assert manage.query("SELECT * FROM logs_eraseduser") == []


def test_a_purge_up_to_a_time_is_no_erasure(db, command, post):
    store_logs(a_log(user=ANN))
    command("purgelogs", "--user", ANN, "--before", "2030-01-01T00:00:00-06:00", "--yes")
    assert stored_actions() == 0
    assert post([a_log(user=ANN)]).status_code == 200


def test_a_deleted_log_is_no_erasure(db, post):
    store_logs(a_log(user=ANN))
    purge.delete_log(ANN, Log.objects.get().id)
    assert post([a_log(user=ANN)]).status_code == 200


def test_a_refused_batch_leaves_its_idempotency_key_free(erased, post):
    key = {"headers": {"Idempotency-Key": "k"}}
    assert refusal(post([a_log(user=ANN)], **key)) == (403, "USER_ERASED")
    assert post([a_log(user="carl")], **key).json()["stored"] == 3


def test_a_repeat_of_a_batch_that_was_stored_before_the_erasure_is_refused(db, post):
    both, other = [a_log(user=ANN), a_log(user="bob")], [a_log(user="carl")]
    post(both, headers={"Idempotency-Key": "both"})
    post(other, headers={"Idempotency-Key": "other"})
    purge.erase_user(ANN, BY)
    answer = post(both, headers={"Idempotency-Key": "both"})
    assert (refusal(answer), places(answer)) == ((403, "USER_ERASED"), [("USER_ERASED", "/0/userId")])
    repeat = post(other, headers={"Idempotency-Key": "other"})
    assert (repeat.status_code, repeat.json()["duplicates"]) == (200, 3)
    reused = post(both, headers={"Idempotency-Key": "other"})
    assert refusal(reused) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_the_id_is_not_kept_nor_an_unkeyed_hash_of_it(erased, settings):
    [row] = ErasedUser.objects.values()
    assert ANN not in str(row)
    settings.SECRET_KEY = "another"
    assert row["digest"] not in erasures.digests([ANN])


def test_an_old_secret_recognizes_whom_it_erased_while_it_is_a_fallback(erased, settings, post):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new one"
    settings.SECRET_KEY_FALLBACKS = ["one more", old]
    assert refusal(post([a_log(user=ANN)])) == (403, "USER_ERASED")
    purge.erase_user("bob", BY)
    assert refusal(post([a_log(user="bob")])) == (403, "USER_ERASED")
    purge.erase_user(ANN, BY)
    assert ErasedUser.objects.count() == 2
    assert erasures.forgive(ANN)
    assert post([a_log(user=ANN)]).status_code == 200


def test_a_secret_that_was_dropped_is_told_of(erased, settings, post, command):
    settings.SECRET_KEY = "a new one"
    assert post([a_log(user=ANN)]).status_code == 200
    with pytest.raises(CommandError, match="1 finding is not repaired"):
        command("verifylogs", "--fix")
    with pytest.raises(CommandError, match="a SECRET_KEY that the store does not have any more"):
        command("forgiveuser", ANN)


@pytest.mark.parametrize("count", [1, writing.MAX_ACTIONS_IN_STATEMENT + 1], ids=["one", "many"])
def test_a_user_forgiven_while_a_batch_is_being_refused_is_stored(erased, post, monkeypatch, count):
    look = erasures.require_none_erased

    def forgive_and_look(user_ids):
        erasures.forgive(ANN)
        look(user_ids)

    monkeypatch.setattr(erasures, "require_none_erased", forgive_and_look)
    assert post([a_log(*[a_view()] * count, user=ANN)]).json()["stored"] == count
    assert Action.objects.filter(user_id=ANN).count() == count


def test_a_forgiven_user_is_stored_again(erased, command, post):
    assert command("forgiveuser", ANN) == "Logs of this user are stored again.\n"
    assert post([a_log(user=ANN)]).status_code == 200
    with pytest.raises(CommandError, match="not erased"):
        command("forgiveuser", ANN)


class TestImports:
    def test_stops_with_the_place_of_the_first_such_log(self, erased, command, file):
        with pytest.raises(CommandError, match=r"line 2: /1/userId: USER_ERASED: .*\nNothing was stored"):
            command("importlogs", file(a_log(user="carl"), a_log(user=ANN)))
        assert stored_logs() == 1

    @pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
    def test_skips_such_logs_into_the_rejects(self, erased, command, file, tmp_path, again):
        bad = a_log({"time": "x"}, user="bad")
        source, rejects = file(a_log(user=ANN), bad, a_log(user="carl"), a_log(user=ANN)), tmp_path / "rejects"
        arguments = ["importlogs", source, "--on-error", "skip", "--rejects", rejects]
        assert command(*arguments) == "Stored: 3 actions in 1 log. Rejected: 3 logs.\n"
        if again:
            assert "Stored: 0 actions in 0 logs. There already: 3 actions. Rejected: 3 logs." in command(*arguments)
        lines = [json.loads(line) for line in rejects.read_bytes().splitlines()]
        assert [line["line"] for line in lines] == [1, 2, 4]
        assert lines[0]["errors"][0]["code"] == "USER_ERASED"
        assert lines[0]["errors"][0]["pointer"] == "/0/userId"
        assert {key: lines[2][key] for key in a_log()} == a_log(user=ANN)
        assert not Log.objects.filter(user_id=ANN).exists()

    def test_rejects_can_be_imported_once_the_user_is_forgiven(self, erased, command, file, tmp_path):
        rejects = tmp_path / "rejects.ndjson"
        command("importlogs", file(a_log(user=ANN), a_log()), "--on-error", "skip", "--rejects", rejects)
        command("forgiveuser", ANN)
        assert command("importlogs", rejects) == "Stored: 3 actions in 1 log.\n"

    def test_brings_nobody_back(self, db, command, file):
        source = file(a_log(user=ANN), a_log(user="bob"))
        command("importlogs", source)
        purge.erase_user(ANN, BY)
        for options in ([], ["--again"]):
            with pytest.raises(CommandError, match="USER_ERASED"):
                command("importlogs", source, *options)
        assert set(Log.objects.values_list("user_id", flat=True)) == {"bob"}

    def test_a_dry_run_tells_of_such_logs(self, erased, command, file):
        with pytest.raises(CommandError, match="USER_ERASED"):
            command("importlogs", file(a_log(user=ANN)), "--dry-run")

    def test_one_erased_while_the_chunk_is_checked_stops_it(self, db, command, file, monkeypatch):
        def checked_then_erased(logs, rows, rejects):
            purge.erase_user(ANN, BY)
            return rows, rejects

        monkeypatch.setattr("logs.transfer.importing.without_erased", checked_then_erased)
        with pytest.raises(CommandError, match="erased just now; nothing of these lines was stored"):
            command("importlogs", file(a_log(user=ANN), a_log()))
        assert stored_logs() == 0


def test_demo_data_with_an_erased_user_say_what_to_do(db, command):
    demo = ["demodata", "--users", "3", "--actions", "50", "--end", "2018-10-31"]
    purge.erase_user("demo-user-00001", BY)
    with pytest.raises(CommandError, match="forgiveuser"):
        command(*demo)
    command("forgiveuser", "demo-user-00001")
    assert "Stored: 50 actions" in command(*demo)


@pytest.mark.django_db(transaction=True)
def test_of_batches_that_are_written_together_only_the_one_with_an_erased_user_is_refused(monkeypatch):
    purge.erase_user(ANN, BY)
    groups = []
    write = writing.write_at_once if writing.fits_one_statement(1) else writing.write

    def watched(actions):
        groups.append(len(actions))
        return write(actions)

    monkeypatch.setattr(writing, write.__name__, watched)

    def poster(user):
        def post():
            batch = [a_log(a_click(), user=user)]
            return [Client().post("/logs/", batch, content_type="application/json").status_code for _ in range(15)]

        return post

    statuses = at_once([poster(ANN), *(poster(f"user-{number}") for number in range(5))])
    assert statuses == [[403] * 15, *[[200] * 15] * 5]
    assert stored_actions() == 75
    assert max(groups) > 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", [1, writing.MAX_ACTIONS_IN_STATEMENT + 1], ids=["small", "large"])
def test_whatever_posts_are_in_flight_nothing_is_left_when_an_erasure_returns(size):
    """Real writers beside a real erasure, time and again."""
    rounds = 20 if size == 1 else 5
    is_over = False

    def write(key):
        client, statuses, number = Client(), [], 0
        while not is_over:
            number += 1
            users = [f"{ANN}-{current[0]}", f"other-{key}"]
            batch = [a_log(*[a_click()] * size, user=user, session=f"{number}") for user in users]
            headers = {"Idempotency-Key": f"{key}-{number}"} if key % 2 else {}
            statuses.append(client.post("/logs/", batch, content_type="application/json", headers=headers).status_code)
        return statuses

    current = [0]
    left = []

    def erase():
        nonlocal is_over
        try:
            for number in range(rounds):
                current[0] = number
                user = f"{ANN}-{number}"
                wait_until(lambda user=user: Log.objects.filter(user_id=user).exists())
                purge.erase_user(user, BY)
                left.append(Action.objects.filter(user_id=user).count() + Log.objects.filter(user_id=user).count())
                time.sleep(0.05)
                left.append(Action.objects.filter(user_id=user).count() + Log.objects.filter(user_id=user).count())
        finally:
            is_over = True

    *statuses, _ = at_once([*([lambda key=key: write(key) for key in range(3)]), erase])
    assert left == [0] * 2 * rounds
    assert {status for its in statuses for status in its} == {200, 403}
    assert not Log.objects.filter(user_id__startswith=ANN).exists()


@pytest.fixture
def other():
    """Another session of the same PostgreSQL database."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer: there is nothing to wait for")
    with closing(psycopg2.connect(**connection.get_connection_params())) as session:
        yield session


@pytest.mark.django_db(transaction=True)
def test_an_erasure_waits_for_a_batch_that_is_written_and_takes_it_too(other):
    def erase():
        try:
            return purge.erase_user(ANN, BY)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            store_logs(a_log(user=ANN))
            erasing = thread.submit(erase)
            wait_until(lambda: _is_waited_for(other))
            assert not erasing.done()
        assert erasing.result(20).actions == 3
    assert stored_logs() == 0


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_comes_while_the_hash_is_committed_sees_it_though_it_began_before(other):
    def post():
        try:
            return Client().post("/logs/", [a_log(user=ANN)], content_type="application/json").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(erasures._CLOSE_GATE)
            posting = thread.submit(post)
            wait_until(lambda: _is_waited_for(other))
            ErasedUser.objects.create(digest=erasures.digests([ANN])[0], secret="", by=BY)
        assert posting.result(20) == 403
    assert stored_logs() == 0


def _is_waited_for(session):
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'logs_eraseduser'::regclass AND NOT granted)"
        )
        return cursor.fetchone()[0]


def test_an_erasure_that_was_killed_at_any_moment_is_finished_by_the_same_command(manage, tmp_path):
    logs = [{**log, "userId": ANN} for log in many_logs(200)]
    (tmp_path / "logs").write_bytes(as_lines(*logs, a_log(user="bob")))
    manage.succeed("importlogs", tmp_path / "logs")
    arguments = ["purgelogs", "--user", ANN, "--yes"]
    assert {manage.interrupt_at_random(signal.SIGKILL, *arguments) for _ in range(3)} <= {0, -9}
    manage.finish_in_small_steps(*arguments)
    assert manage.query("SELECT DISTINCT user_id FROM logs_log") == [("bob",)]
    [certificate] = json.loads(manage.succeed("erasures", "--user", ANN, "--json"))
    assert (certificate["actions"], certificate["logs"]) == (4000, 200)
    assert certificate["finished"]
    assert "Findings: 0" in manage.succeed("verifylogs")


@pytest.mark.django_db
class TestCertificate:
    def test_says_when_by_whom_and_how_much_but_not_whose(self, erased, command):
        said = command("erasures")
        assert f"by {BY}: 3 actions, 1 log, 0 idempotency keys, 0 entries of the admin's history.\n" in said
        assert ANN not in said
        assert command("erasures", "--user", ANN) == said

    def test_a_command_is_by_the_systems_user(self, command):
        command("purgelogs", "--user", ANN, "--yes")
        [certificate] = json.loads(command("erasures", "--json"))
        assert certificate["by"].endswith(" (command)")
        assert certificate["finished"] >= certificate["erased"]

    def test_of_somebody_else_there_is_none(self, erased, command):
        with pytest.raises(CommandError, match="No erasure of this user"):
            command("erasures", "--user", "bob")
        assert json.loads(command("erasures", "--user", "bob", "--json")) == []

    def test_counts_keys_and_history_too(self, post, command, admin_user):
        post([a_log(user=ANN)], headers={"Idempotency-Key": f"of {ANN}"})
        LogEntry.objects.create(
            user=admin_user, object_repr=f"{ANN} / s", action_flag=2, content_type=_content_type(Log), object_id="0"
        )
        purge.erase_user(ANN, BY)
        assert "3 actions, 1 log, 1 idempotency key, 1 entry of the admin's history." in command("erasures")

    def test_an_erasure_that_stopped_is_called_unfinished(self, command):
        store_logs(a_log(user=ANN))
        erasures.begin(ANN, BY)
        assert "Not finished: run purgelogs again." in command("erasures")
        with pytest.raises(CommandError, match="2 findings are not repaired"):
            command("verifylogs")
        purge.erase_user(ANN, BY)
        assert "Not finished" not in command("erasures")
        assert "Findings: 0" in command("verifylogs")


def _content_type(model):
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(model)


@pytest.mark.django_db
class TestAdmin:
    @pytest.fixture
    def staff(self, client):
        user = a_staff_user("view_log", "view_action", "erase_user", "view_eraseduser", "delete_eraseduser")
        client.force_login(user)
        return client

    def test_an_erasure_there_is_for_good_too(self, staff, post):
        store_logs(a_log(user=ANN))
        staff.post(reverse("admin:logs_log_erase_user", args=[Log.objects.get().id]), {"confirmation": ANN})
        assert refusal(post([a_log(user=ANN)])) == (403, "USER_ERASED")
        assert ErasedUser.objects.get().by == "staff"

    def test_the_page_before_says_so(self, staff):
        store_logs(a_log(user=ANN))
        page = staff.get(reverse("admin:logs_log_erase_user", args=[Log.objects.get().id])).text
        assert "From then on nothing of this user is stored" in page

    def test_an_erasure_is_found_by_the_whole_id_alone(self, staff, erased):
        url = reverse("admin:logs_eraseduser_changelist")
        assert "1 erasure" in staff.get(url).text
        assert "1 erasure" in staff.get(url, {"q": ANN}).text
        assert "0 erasures" in staff.get(url, {"q": ANN[:-1]}).text
        assert ANN not in staff.get(url).text

    def test_the_button_forgives(self, staff, erased, post):
        erasure = ErasedUser.objects.get()
        page = staff.get(reverse("admin:logs_eraseduser_change", args=[erasure.pk])).text
        forgive = reverse("admin:logs_eraseduser_delete", args=[erasure.pk])
        assert f'<a href="{forgive}">Forgive</a>' in page
        assert erasure.digest not in page
        assert "lets the logs of the user in again" in staff.get(forgive).text
        assert post([a_log(user=ANN)]).status_code == 403
        staff.post(forgive, {"post": "yes"})
        assert post([a_log(user=ANN)]).status_code == 200
        assert ANN not in str(list(LogEntry.objects.values()))

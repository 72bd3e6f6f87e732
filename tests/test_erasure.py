"""Deleting a log and erasing a user: what goes, what stays, and what is kept about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.urls import reverse

from logs.lib.times import parse_time
from logs.models import Action, ErasedUser, Log, RolledUpDay, Rollup
from logs.store import deletion, purge
from logs.store.days import Days
from logs.store.purge import PurgeCounts
from logs.store.rollups import prepare
from tests.builders import (
    TIME,
    a_click,
    a_log,
    a_navigation,
    a_staff_user,
    a_view,
    refusal,
    store_logs,
    stored_actions,
    stored_logs,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def eraser(client):
    client.force_login(a_staff_user("view_log", "view_action", "delete_log", "erase_user", name="eraser"))
    return client


@pytest.fixture
def two_users():
    store_logs(
        a_log(user="private-ann", session="a1"),
        a_log(user="private-ann", session="a2"),
        a_log(user="bob", session="a1"),
    )


def _address(page: str, session: str, user: str = "private-ann") -> str:
    return reverse(f"admin:logs_log_{page}", args=[Log.objects.get(user_id=user, session_id=session).id])


def test_the_pages_say_what_will_go_and_take_nothing(eraser, two_users):
    erase, delete = eraser.get(_address("erase_user", "a1")), eraser.get(_address("delete", "a1"))
    assert erase.context["stored"] == PurgeCounts(logs=2, actions=6)
    assert "<li>6 actions</li>" in erase.text
    assert delete.context["stored"] == PurgeCounts(logs=1, actions=3)
    assert "<li>3 actions</li>" in delete.text
    assert stored_actions() == 9


def test_a_deleted_log_goes_with_its_actions_and_nothing_else(eraser, two_users):
    answer = eraser.post(_address("delete", "a1"), follow=True)
    assert "was deleted with 3 actions." in answer.text
    assert set(Log.objects.values_list("user_id", "session_id")) == {("private-ann", "a2"), ("bob", "a1")}
    assert stored_actions() == 6


def test_a_log_that_has_no_actions_is_deleted_too_and_no_other(eraser, two_users):
    log = Log.objects.get(user_id="private-ann", session_id="a1")
    Action.objects.filter(user_id="private-ann").delete()
    assert purge.delete_log(log.user_id, log.id) == PurgeCounts(logs=1)
    assert set(Log.objects.values_list("user_id", "session_id")) == {("private-ann", "a2"), ("bob", "a1")}


def test_an_erased_user_goes_whole_and_nobody_else(eraser, two_users):
    answer = eraser.post(_address("erase_user", "a2"), {"confirmation": "private-ann"}, follow=True)
    assert "The user was erased: 2 logs, 6 actions." in answer.text
    assert set(Log.objects.values_list("user_id", flat=True)) == {"bob"}
    assert set(Action.objects.values_list("user_id", flat=True)) == {"bob"}


@pytest.mark.parametrize("typed", [{}, {"confirmation": ""}, {"confirmation": "private-Ann"}])
def test_nobody_is_erased_until_the_id_is_typed(eraser, two_users, typed):
    answer = eraser.post(_address("erase_user", "a2"), typed)
    assert "Nothing was deleted." in answer.text
    assert stored_actions() == 9


@pytest.mark.parametrize("user", ["\u202eann", "a\nb", "a  b", "u" * 65])
def test_an_id_that_nobody_can_type_needs_a_word(eraser, user):
    store_logs(a_log(user=user, session="a1"))
    eraser.post(_address("erase_user", "a1", user), {"confirmation": user})
    assert stored_actions() == 3
    eraser.post(_address("erase_user", "a1", user), {"confirmation": "erase"})
    assert stored_actions() == 0


def test_who_may_see_erasures_is_led_to_it_and_others_find_it_by_the_user(client, two_users):
    everything = ("view_log", "view_action", "erase_user", "view_eraseduser")
    client.force_login(a_staff_user(*everything, name="eraser"))
    address = _address("erase_user", "a1")
    assert f'<a href="{address}">Erase user</a>' in client.get("/admin/logs/log/?user=private-ann&q=%22a1%22").text
    answer = client.post(address, {"confirmation": "private-ann"})
    erasure = ErasedUser.objects.get()
    assert answer.url == f"/admin/logs/eraseduser/{erasure.pk}/change/"
    found = client.get("/admin/logs/log/?user=private-ann").text
    assert "This user was erased, asked for at" in found
    assert answer.url in found
    client.force_login(a_staff_user("view_log", name="other"))
    found = client.get("/admin/logs/log/?user=private-ann").text
    assert "This user was erased, asked for at" in found
    assert answer.url not in found


def test_the_old_address_of_a_log_says_that_it_was_erased(eraser, two_users):
    page = _address("change", "a1")
    eraser.post(_address("erase_user", "a1"), {"confirmation": "private-ann"})
    answer = eraser.get(page)
    assert refusal(answer) == (404, "NOT_FOUND")
    assert "by eraser. The user was erased: 2 logs, 6 actions." in answer.json()["detail"]
    assert "private-ann" not in answer.text


@pytest.mark.parametrize("page", ["delete", "erase_user"])
def test_the_history_keeps_who_did_it_but_not_whose_it_was(eraser, two_users, page):
    eraser.post(_address(page, "a1"), {"confirmation": "private-ann"})
    entry = LogEntry.objects.get()
    assert entry.user.get_username() == "eraser"
    assert entry.is_deletion()
    assert "actions." in entry.change_message
    kept = f"{entry.object_repr} {entry.change_message} {entry.object_id}"
    assert "private-ann" not in kept
    assert "a1" not in kept


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_everything_goes_in_transactions_of_any_size(monkeypatch, at_once):
    monkeypatch.setattr(deletion, "BATCH_ACTIONS", at_once)
    store_logs(*(a_log(*[a_click()] * size, user="ann", session=f"s{size}") for size in (1, 4, 7)), a_log(user="bob"))
    assert purge.erase_user("ann", "tester") == PurgeCounts(logs=3, actions=12)
    assert (stored_logs(), stored_actions()) == (1, 3)


def test_a_long_log_keeps_true_counts_while_it_goes(monkeypatch):
    monkeypatch.setattr(deletion, "BATCH_ACTIONS", 2)
    store_logs(
        a_log(
            a_click("2018-10-18T00:00:01-06:00"),
            a_view("2018-10-18T00:00:02-06:00"),
            a_navigation("2018-10-18T00:00:03-06:00"),
            a_click("2018-10-18T00:00:04-06:00"),
            a_click("2018-10-18T00:00:05-06:00"),
        )
    )
    log = Log.objects.get()
    batches = purge.purge(purge.Selection(users=[log.user_id]), "tester")
    assert next(batches) == 2
    now = Log.objects.get()
    assert (now.click_count, now.view_count, now.navigate_count) == (2, 0, 1)
    assert now.first_time == Action.objects.earliest("time").time
    assert now.version == log.version + 1


def test_a_log_of_many_actions_is_deleted_without_loading_them(eraser, django_assert_max_num_queries):
    store_logs(a_log(*[a_click()] * 6_000))
    with django_assert_max_num_queries(40):
        eraser.post(_address("delete", "XYZ456ABC", "ABC123XYZ"))
    assert (stored_logs(), stored_actions()) == (0, 0)


def test_what_is_counted_of_a_users_days_goes_at_once(two_users):
    day = Action.objects.first().time.date()
    prepare(Days(day, day))
    assert Rollup.objects.filter(label="private-ann").exists()
    purge.erase_user("private-ann", "tester")
    assert not Rollup.objects.exists()
    assert not RolledUpDay.objects.exists()
    prepare(Days(day, day))
    assert set(Rollup.objects.filter(kind="USERS").values_list("label", flat=True)) == {"bob"}


def test_the_rollups_of_other_days_stay():
    store_logs(a_log(a_click(TIME), user="ann"), a_log(a_click("2018-10-25T10:00:00-06:00"), user="bob"))
    days = Days(*(Action.objects.order_by("time").values_list("time__date", flat=True)))
    prepare(days)
    purge.erase_user("ann", "tester")
    assert set(Rollup.objects.values_list("day", flat=True)) == {days.last}


def test_erasing_nobody_is_no_error():
    assert purge.erase_user("nobody", "tester") == PurgeCounts()


@pytest.mark.django_db(transaction=True)
def test_an_erasure_waits_for_a_count_for_insights_that_has_read_the_user_already(two_users):
    day = parse_time(TIME).date()

    def erase() -> PurgeCounts:
        try:
            return purge.erase_user("private-ann", "tester")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            prepare(Days(day, day))
            erased = thread.submit(erase)
            with pytest.raises(TimeoutError):
                erased.result(timeout=0.5)
        assert erased.result(timeout=20).logs == 2

    assert not Rollup.objects.filter(label="private-ann").exists()


def test_insights_show_nothing_of_a_user_from_the_moment_of_the_erasure_on(eraser, two_users):
    day = parse_time(TIME).date()
    url = f"{reverse('admin:insights_data', args=['users'])}?from={day}&to={day}"
    assert "private-ann" in eraser.get(url).content.decode()

    purge.erase_user("private-ann", "tester")

    assert "private-ann" not in eraser.get(url).content.decode()

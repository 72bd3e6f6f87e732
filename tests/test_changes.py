"""GET /logs/changes: every stored action once, in an order in which nothing appears behind a cursor."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from logs.access.models import Scope
from logs.models import Action
from logs.store import changes as feed
from logs.store import purge
from logs.store.arrivals import arrivals
from tests.builders import a_click, a_key, a_log, a_navigation, a_view, places, refusal, store_logs
from tests.citus import skip_on_citus

pytestmark = pytest.mark.django_db


@pytest.fixture
def follow(client):
    """GET /logs/changes with the given parameters and return the decoded answer."""

    def get(**parameters):
        answer = client.get("/logs/changes", parameters)
        assert answer.status_code == 200, answer.content
        return answer.json()

    return get


def logs_of(answer):
    """The changes of an answer without when they were received."""
    return [{name: value for name, value in change.items() if name != "receivedAt"} for change in answer["changes"]]


def views_of(answer):
    return [action["properties"]["viewedId"] for change in answer["changes"] for action in change["actions"]]


def view_all(follow, **parameters):
    """What a reader gets who goes on until there is no more, and the last answer."""
    viewed, answer = [], {"cursor": "", "more": True}
    while answer["more"]:
        answer = follow(after=answer["cursor"], **parameters)
        viewed += views_of(answer)
    return viewed, answer


def test_an_empty_store_has_a_cursor_to_go_on_from(follow, post):
    empty = follow()
    assert (empty["changes"], empty["more"]) == ([], False)
    post([a_log()])
    assert logs_of(follow(after=empty["cursor"])) == [a_log()]


def test_what_was_stored_comes_once_and_in_order(follow, post):
    post([a_log(a_view(viewed_id="1")), a_log(a_view(viewed_id="2"), user="bob")])
    first = follow()
    assert views_of(first) == ["1", "2"]
    post([a_log(a_view(viewed_id="3"))])
    second = follow(after=first["cursor"])
    assert views_of(second) == ["3"]
    third = follow(after=second["cursor"])
    assert (third["changes"], third["cursor"]) == ([], second["cursor"])


def test_a_late_action_of_an_old_session_shows(follow, post):
    post([a_log(a_view("2018-10-18T21:37:28-06:00", viewed_id="1")), a_log(user="bob")])
    cursor = follow()["cursor"]
    post([a_log(a_view("2017-01-01T00:00:00-06:00", viewed_id="late"))])
    assert logs_of(follow(after=cursor)) == [a_log(a_view("2017-01-01T00:00:00-06:00", viewed_id="late"))]


def test_a_change_says_when_it_was_received(follow, post):
    before = datetime.now(UTC)
    post([a_log()])
    [change] = follow()["changes"]
    assert change["receivedAt"].endswith("Z")
    assert before - timedelta(seconds=1) < datetime.fromisoformat(change["receivedAt"]) < datetime.now(UTC)


def test_what_was_there_before_that_was_noted_says_so(follow, post):
    post([a_log()])
    Action.objects.update(received_at=None)
    assert follow()["changes"] == [{"receivedAt": None, **a_log()}]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_neither_repeat_nor_skip(follow, post, limit):
    post([a_log(*[a_view(viewed_id=f"{user}-{number}") for number in range(3)], user=user) for user in ("ann", "bob")])
    viewed, last = view_all(follow, limit=limit)
    assert viewed == ["ann-0", "ann-1", "ann-2", "bob-0", "bob-1", "bob-2"]
    assert follow(after=last["cursor"])["changes"] == []


def test_without_a_limit_a_page_has_a_thousand_actions(follow, post):
    post([a_log(*[a_view()] * 1001)])
    page = follow()
    assert (len(views_of(page)), page["more"]) == (1000, True)


def test_a_page_ends_where_it_would_take_too_much_memory(follow, post, monkeypatch):
    monkeypatch.setattr(feed, "MAX_PAGE_CHARACTERS", 1000)
    monkeypatch.setattr(feed, "_ROWS_AT_ONCE", 3)
    post([a_log(*[a_view(viewed_id=str(number), padding="x" * 400) for number in range(10)])])
    assert len(views_of(follow())) == 3
    assert view_all(follow)[0] == [str(number) for number in range(10)]


def test_actions_of_a_log_stand_together_though_another_batch_came_between(follow, post):
    post([a_log(a_view(viewed_id="1")), a_log(a_view(viewed_id="2"), user="bob"), a_log(a_view(viewed_id="3"))])
    Action.objects.update(received_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert logs_of(follow()) == [
        a_log(a_view(viewed_id="1"), a_view(viewed_id="3")),
        a_log(a_view(viewed_id="2"), user="bob"),
    ]


@pytest.mark.parametrize(
    "parameters, expected",
    [
        ({"userId": "ann"}, [a_log(a_click(), a_view(), user="ann")]),
        ({"types": "VIEW,NAVIGATE"}, [a_log(a_view(), user="ann"), a_log(a_navigation(), user="bob")]),
        ({"userId": "ann", "types": "NAVIGATE"}, []),
    ],
    ids=str,
)
def test_filters_choose_and_the_cursor_goes_past_the_rest(follow, post, parameters, expected):
    post([a_log(a_click(), a_view(), user="ann"), a_log(a_navigation(), user="bob")])
    answer = follow(**parameters)
    assert (logs_of(answer), answer["more"]) == (expected, False)
    assert follow(after=answer["cursor"])["changes"] == []


def test_a_filtered_page_looks_through_a_bounded_number_of_actions(follow, post, monkeypatch):
    monkeypatch.setattr(feed, "MAX_SCANNED", 4)
    post([a_log(*[a_click()] * 10, a_view(viewed_id="1"), *[a_click()] * 10, a_view(viewed_id="2"))])
    first = follow(types="VIEW")
    assert (first["changes"], first["more"]) == ([], True)
    viewed, last = view_all(follow, types="VIEW")
    assert viewed == ["1", "2"]
    assert follow(after=last["cursor"])["changes"] == []


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_filtered_changes_neither_repeat_nor_skip(follow, post, monkeypatch, limit):
    monkeypatch.setattr(feed, "MAX_SCANNED", 5)
    post([a_log(*[action for number in range(9) for action in (a_click(), a_view(viewed_id=str(number)))])])
    assert view_all(follow, types="VIEW", limit=limit)[0] == [str(number) for number in range(9)]


def test_from_now_on_is_what_comes_next(follow, post):
    post([a_log()])
    now = follow(after="now")
    assert (now["changes"], now["more"]) == ([], False)
    post([a_log(a_view(viewed_id="next"))])
    assert views_of(follow(after=now["cursor"])) == ["next"]


def test_ndjson_has_the_cursor_in_its_last_line(client, post):
    post([a_log(), a_log(user="bob")])
    answer = client.get("/logs/changes", headers={"Accept": "application/x-ndjson"})
    assert answer["Content-Type"] == "application/x-ndjson"
    *lines, last = [json.loads(line) for line in answer.content.splitlines()]
    assert [line["userId"] for line in lines] == ["ABC123XYZ", "bob"]
    assert last == {"cursor": client.get("/logs/changes").json()["cursor"], "more": False}
    empty = client.get("/logs/changes", {"after": last["cursor"], "format": "ndjson"})
    assert json.loads(empty.content) == last


def test_what_was_purged_or_erased_is_gone(follow, post):
    post([a_log(a_view("2018-01-01T00:00:00-06:00", viewed_id="old")), a_log(a_view(viewed_id="kept"))])
    cursor = follow(limit=1)["cursor"]
    post([a_log(user="erased"), a_log(a_view(viewed_id="new"))])
    sum(purge.purge(purge.Selection(before=datetime(2018, 6, 1, tzinfo=UTC)), "tester"))
    purge.erase_user("erased", "tester")
    assert view_all(follow)[0] == ["kept", "new"]
    assert views_of(follow(after=cursor)) == ["kept", "new"]


def test_a_store_that_was_emptied_goes_on(follow, post):
    post([a_log()])
    cursor = follow()["cursor"]
    sum(purge.purge(purge.Selection(before=datetime(2030, 1, 1, tzinfo=UTC)), "tester"))
    assert follow(after=cursor)["changes"] == []
    post([a_log(a_view(viewed_id="next"))])
    assert views_of(follow(after=cursor)) == ["next"]


@pytest.mark.parametrize(
    "parameters, code, name",
    [
        ({"after": "x"}, "INVALID_CURSOR", "after"),
        ({"after": "NOW"}, "INVALID_CURSOR", "after"),
        ({"after": "1"}, "INVALID_CURSOR", "after"),
        ({"limit": "0"}, "INVALID_PARAMETER", "limit"),
        ({"limit": "10001"}, "INVALID_PARAMETER", "limit"),
        ({"wait": "61"}, "INVALID_PARAMETER", "wait"),
        ({"wait": "-1"}, "INVALID_PARAMETER", "wait"),
        ({"wait": "1.5"}, "INVALID_PARAMETER", "wait"),
        ({"types": "click"}, "INVALID_ACTION_TYPE", "types"),
        ({"userId": "a\0"}, "INVALID_CHARACTER", "userId"),
        ({"from": "2018-10-18T21:37:28-06:00"}, "UNKNOWN_PARAMETER", "from"),
        ({"cursor": "x"}, "UNKNOWN_PARAMETER", "cursor"),
        ({"format": "csv"}, "INVALID_PARAMETER", "format"),
    ],
    ids=str,
)
def test_a_parameter_that_can_not_be_is_refused(client, parameters, code, name):
    answer = client.get("/logs/changes", parameters)
    assert refusal(answer) == (400, code)
    assert places(answer) == [(code, name)]


def test_an_altered_cursor_is_refused(client, follow, post):
    post([a_log()])
    cursor = follow()["cursor"]
    altered = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    assert places(client.get("/logs/changes", {"after": altered})) == [("INVALID_CURSOR", "after")]


def test_a_cursor_of_a_page_of_logs_is_refused(client, post):
    post([a_log(), a_log(user="bob")])
    link = client.get("/logs/?limit=1")["Link"]
    cursor = link.partition("cursor=")[2].partition(">")[0]
    assert places(client.get(f"/logs/changes?after={cursor}")) == [("INVALID_CURSOR", "after")]


def test_a_cursor_from_before_a_backup_was_restored_is_refused(client, follow, post):
    skip_on_citus("sets a sequence back by itself")
    post([a_log()])
    cursor = follow()["cursor"]
    Action.objects.all().delete()
    with connection.cursor() as database:
        if connection.vendor == "postgresql":
            database.execute("ALTER SEQUENCE logs_action_id_seq RESTART")
        else:
            database.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'logs_action'")
    answer = client.get("/logs/changes", {"after": cursor})
    assert refusal(answer) == (400, "INVALID_CURSOR")
    assert "restored" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["/logs/changes", "/logs/changes/"])
def test_head_has_no_body_and_other_methods_are_refused(client, post, address):
    post([a_log()])
    head = client.head(address)
    assert (head.status_code, head.getvalue()) == (200, b"")
    refused = client.post(address, [], content_type="application/json")
    assert refusal(refused) == (405, "METHOD_NOT_ALLOWED")
    assert refused["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "scope, status", [(Scope.INGEST, 403), (Scope.READ, 200), (Scope.BOTH, 200), (None, 401)], ids=str
)
def test_it_needs_a_key_that_may_read(client, settings, scope, status):
    settings.LOGSTORE_AUTH = "keys"
    headers = {"Authorization": f"Bearer {a_key(scope)[1]}"} if scope else {}
    assert client.get("/logs/changes", headers=headers).status_code == status


def test_nobody_keeps_an_answer(client):
    assert client.get("/logs/changes")["Cache-Control"] == "private, no-store"


class TestWaiting:
    def test_nothing_comes_for_as_long_as_it_waits(self, follow):
        started = time.monotonic()
        assert follow(wait=1)["changes"] == []
        assert 0.9 < time.monotonic() - started < 3

    def test_what_is_there_is_answered_at_once(self, follow, post):
        post([a_log()])
        started = time.monotonic()
        assert len(follow(wait=60)["changes"]) == 1
        assert time.monotonic() - started < 3

    @pytest.mark.django_db(transaction=True)
    def test_what_this_process_stores_is_answered_at_once(self, follow, monkeypatch):
        monkeypatch.setattr("logs.store.arrivals.LOOK_EVERY", 60)

        def store():
            try:
                store_logs(a_log(a_view(viewed_id="new")))
            finally:
                connection.close()

        thread = threading.Timer(0.3, store)
        thread.start()
        started = time.monotonic()
        assert views_of(follow(wait=20)) == ["new"]
        assert time.monotonic() - started < 5
        thread.join()

    def test_a_filtered_wait_goes_on_until_what_it_asks_for_comes(self, follow, post, monkeypatch):
        monkeypatch.setattr(feed, "MAX_SCANNED", 2)
        post([a_log(*[a_click()] * 9, a_view(viewed_id="9"))])
        assert views_of(follow(wait=5, types="VIEW")) == ["9"]

    def test_where_all_places_are_taken_it_is_answered_at_once(self, follow, settings):
        settings.LOGSTORE_MAX_WAITING = 0
        started = time.monotonic()
        assert follow(wait=30)["changes"] == []
        assert time.monotonic() - started < 3

    def test_where_the_process_stops_it_is_answered_at_once(self, follow, monkeypatch):
        monkeypatch.setattr(arrivals, "is_stopping", True)
        started = time.monotonic()
        assert follow(wait=30)["changes"] == []
        assert time.monotonic() - started < 3


@pytest.mark.django_db(transaction=True)
class TestOpenTransactions:
    """PostgreSQL, where many write at once."""

    @pytest.fixture(autouse=True)
    def two_sessions(self, monkeypatch):
        if connection.vendor != "postgresql":
            pytest.skip("SQLite has one writer: there is nothing to wait for")
        monkeypatch.setattr("logs.api.changes._PATIENCE", 0.2)
        monkeypatch.setattr("logs.api.changes._PATIENCE_FOR_NOW", 0.2)
        self.is_stored, self.may_end = threading.Event(), threading.Event()
        self.rolls_back = False
        self.thread = threading.Thread(target=self._write)
        yield
        self.may_end.set()
        if self.thread.ident:
            self.thread.join()

    def _write(self):
        try:
            with transaction.atomic():
                store_logs(a_log(a_view(viewed_id="slow"), user="slow"))
                self.is_stored.set()
                self.may_end.wait(30)
                transaction.set_rollback(self.rolls_back)
        finally:
            connection.close()

    def begin(self):
        self.thread.start()
        assert self.is_stored.wait(10)

    def end(self):
        self.may_end.set()
        self.thread.join()

    def test_what_came_later_waits_for_what_is_open(self, follow, post):
        post([a_log(a_view(viewed_id="before"))])
        cursor = follow()["cursor"]
        self.begin()
        post([a_log(a_view(viewed_id="later"))])
        held_back = follow(after=cursor)
        assert (held_back["changes"], held_back["cursor"]) == ([], cursor)
        self.end()
        assert views_of(follow(after=cursor)) == ["slow", "later"]

    def test_what_was_settled_before_is_shown_meanwhile(self, follow, post):
        post([a_log(a_view(viewed_id="before"))])
        follow()
        self.begin()
        assert views_of(follow()) == ["before"]

    def test_what_is_rolled_back_holds_up_nothing_any_more(self, follow, post):
        self.rolls_back = True
        self.begin()
        post([a_log(a_view(viewed_id="later"))])
        self.end()
        assert views_of(follow()) == ["later"]

    def test_a_wait_ends_with_the_transaction(self, follow, post):
        cursor = follow(after="now")["cursor"]
        self.begin()
        threading.Timer(0.5, self.may_end.set).start()
        assert views_of(follow(after=cursor, wait=20)) == ["slow"]

    def test_from_now_on_leaves_out_nothing_that_is_open(self, client, follow, post, monkeypatch):
        monkeypatch.setattr(feed, "_settled", {})
        post([a_log(a_view(viewed_id="before"))])
        self.begin()
        post([a_log(a_view(viewed_id="meanwhile"))])
        refused = client.get("/logs/changes", {"after": "now"})
        assert refusal(refused) == (503, "STORE_UNAVAILABLE")
        self.end()
        cursor = follow(after="now")["cursor"]
        post([a_log(a_view(viewed_id="next"))])
        assert views_of(follow(after=cursor)) == ["next"]

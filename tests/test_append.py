"""Batches that arrive while another is written are written together, and each has its own outcome."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from django.db import IntegrityError, InternalError, OperationalError, connection
from django.db.backends.signals import connection_created

from logs.api.idempotency import IdempotencyToken
from logs.lib.errors import ErrorCode, LogStoreError
from logs.lib.transactions import limit_session
from logs.models import Action, Log
from logs.store import append as appending
from logs.store.append import UNKNOWN_OUTCOME, ActionRow, LogRow, Receipt, append
from logs.store.purge import erase_user
from tests.builders import stored_actions
from tests.citus import skip_on_citus
from tests.server import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2018, 10, 18, 12, tzinfo=UTC)
ONE_STORED = Receipt(stored=1)


def a_row(user: str = "shared", properties: str = '{"viewedId":"v"}', at: Any = NOON, count: int = 1) -> LogRow:
    return {"user_id": user, "session_id": "s", "actions": [ActionRow(at, "VIEW", properties)] * count}


def a_token(key: str = "k", digest: str = "d") -> IdempotencyToken:
    return IdempotencyToken("", key, digest)


class Gate:
    """A token that holds up the batch that it comes with, in its transaction, until it is opened."""

    def __init__(self) -> None:
        self.is_reached, self._is_open = threading.Event(), threading.Event()

    def remember(self, action_count: int) -> None:
        self.is_reached.set()
        assert self._is_open.wait(20)

    def open(self) -> None:
        self._is_open.set()


class InterruptingToken:
    def remember(self, action_count: int) -> None:
        raise KeyboardInterrupt


Arrive = Callable[..., "Future[Receipt]"]


@pytest.fixture
def gate() -> Iterator[Gate]:
    """While it is closed, a batch of the user "first" is being written."""
    gate = Gate()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(_append_and_close, [a_row("first")], gate)
        assert gate.is_reached.wait(10)
        yield gate
        gate.open()
        assert first.result(20) == ONE_STORED


@pytest.fixture
def arrive(gate: Gate) -> Iterator[Arrive]:
    """Let a batch arrive in a thread of its own, and return once it waits for its turn."""
    with ThreadPoolExecutor(10) as threads:

        def start(*rows: LogRow, token: Any = None) -> Future[Receipt]:
            waiting = len(appending._queue._waiting)
            future = threads.submit(_append_and_close, rows, token)
            wait_until(lambda: len(appending._queue._waiting) == waiting + 1, seconds=10)
            return future

        yield start
        gate.open()


def _append_and_close(rows: Any, token: Any) -> Receipt:
    connection.ensure_connection()
    try:
        return append(rows, token)
    finally:
        connection.close()


def outcome(future: Future[Receipt]) -> Receipt | BaseException:
    return future.exception(20) or future.result()


def test_batches_that_arrive_meanwhile_are_written_together(gate, arrive):
    futures = [arrive(a_row(count=number)) for number in (1, 2, 3)]
    gate.open()
    assert [outcome(future) for future in futures] == [Receipt(1), Receipt(2), Receipt(3)]
    log = Log.objects.get(user_id="shared")
    assert (log.version, log.view_count, stored_actions()) == (1, 6, 7)


def test_a_batch_is_not_written_before_the_one_that_holds_it_up(gate, arrive):
    future = arrive(a_row())
    assert not future.done()
    assert stored_actions() == 0
    gate.open()
    assert outcome(future) == ONE_STORED


def test_a_group_ends_with_the_batch_that_makes_it_long(gate, arrive, monkeypatch):
    monkeypatch.setattr(appending, "MAX_GROUP_ACTIONS", 3)
    futures = [arrive(a_row()) for _ in range(5)]
    gate.open()
    assert [outcome(future) for future in futures] == [ONE_STORED] * 5
    # The log is new to the first three, and changed by the other two together.
    assert Log.objects.get(user_id="shared").version == 2


def test_logs_of_a_group_are_in_the_order_of_arrival(gate, arrive):
    futures = [arrive(a_row(user), a_row("shared")) for user in "cab"]
    gate.open()
    assert [outcome(future) for future in futures] == [Receipt(2)] * 3
    assert list(Log.objects.order_by("id").values_list("user_id", flat=True)) == ["first", "c", "shared", "a", "b"]


# Citus does not hand on what kind of error it was that a COPY met on a worker.
REFUSED = (IntegrityError, InternalError)
BAD_ROWS = {
    "refused by a constraint": (a_row("bad", '{"viewedId":7}'), REFUSED),
    "no row at all": (a_row("bad", at="yesterday"), (AttributeError, TypeError)),
}


@pytest.mark.parametrize("bad, error", BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "between", "last"])
def test_a_batch_that_cannot_be_written_harms_no_other(gate, arrive, bad, error, place):
    rows = [a_row("a"), a_row("b")]
    rows.insert(place, bad)
    outcomes_of = [arrive(row) for row in rows]
    gate.open()
    outcomes = [outcome(future) for future in outcomes_of]
    assert isinstance(outcomes.pop(place), error)
    assert outcomes == [ONE_STORED] * 2
    assert sorted(Log.objects.values_list("user_id", flat=True)) == ["a", "b", "first"]


@pytest.fixture
def erased():
    erase_user("erased", "tester")


@pytest.mark.parametrize("token", [None, a_token()], ids=["statement", "transaction"])
def test_batches_of_an_erased_user_are_refused_and_the_others_stay_together(erased, gate, arrive, token):
    futures = [
        arrive(a_row()),
        arrive(a_row(), a_row("erased"), token=token),
        arrive(a_row()),
        arrive(a_row("erased")),
        arrive(a_row()),
    ]
    gate.open()
    outcomes = [outcome(future) for future in futures]
    assert [getattr(refused, "places", None) for refused in outcomes] == [None, [1], None, [0], None]
    assert outcomes[::2] == [ONE_STORED] * 3
    log = Log.objects.get(user_id="shared")
    assert (log.version, log.view_count, stored_actions()) == (1, 3, 4)


def test_a_key_that_comes_twice_in_a_group_is_stored_once(gate, arrive):
    futures = [arrive(a_row(), token=a_token()), arrive(a_row("other")), arrive(a_row(), token=a_token())]
    gate.open()
    assert [outcome(future) for future in futures] == [ONE_STORED, ONE_STORED, Receipt(duplicates=1)]
    assert Action.objects.filter(user_id="shared").count() == 1


def test_a_key_that_comes_with_another_body_in_a_group_is_refused_alone(gate, arrive):
    futures = [
        arrive(a_row(), token=a_token()),
        arrive(a_row("reused"), token=a_token(digest="other")),
        arrive(a_row("other")),
    ]
    gate.open()
    first, reused, other = map(outcome, futures)
    assert (first, other) == (ONE_STORED, ONE_STORED)
    assert isinstance(reused, LogStoreError)
    assert reused.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert not Log.objects.filter(user_id="reused").exists()


def test_a_key_of_a_batch_that_cannot_be_written_is_not_remembered(gate, arrive):
    futures = [arrive(a_row("bad", '{"viewedId":7}'), token=a_token()), arrive(a_row())]
    gate.open()
    assert isinstance(outcome(futures[0]), REFUSED)
    assert outcome(futures[1]) == ONE_STORED
    assert append([a_row("bad")], a_token()) == ONE_STORED


def assert_outcome_is_unknown(error: Any) -> None:
    assert isinstance(error, LogStoreError)
    assert (error.code, error.detail) == (ErrorCode.STORE_UNAVAILABLE, UNKNOWN_OUTCOME)


@pytest.fixture
def other() -> Iterator[psycopg2.extensions.connection]:
    """Another session of the same PostgreSQL database."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no session that could end")
    with closing(psycopg2.connect(**connection.get_connection_params())) as session:
        yield session


@pytest.fixture
def lock(other: psycopg2.extensions.connection) -> psycopg2.extensions.connection:
    """A session in whose transaction the log of the user "locked" was changed."""
    skip_on_citus("looks for who waits on the coordinator, and a worker has them wait")
    append([a_row("locked")])
    other.cursor().execute("UPDATE logs_log SET version = version + 1 WHERE user_id = 'locked'")
    return other


@pytest.fixture
def sessions_as_served() -> Iterator[None]:
    """Each session has its limits, as in a server's processes: a small batch is one statement and no transaction."""
    connection_created.connect(limit_session)
    yield
    connection_created.disconnect(limit_session)


def test_a_connection_that_ends_in_a_statement_leaves_the_outcome_of_each_unknown(
    sessions_as_served, lock, gate, arrive
):
    futures = [arrive(a_row("a")), arrive(a_row("locked")), arrive(a_row("b"))]
    gate.open()
    wait_until(lambda: _terminate_who_waits() == 1, seconds=10)
    for future in futures:
        assert_outcome_is_unknown(outcome(future))
    lock.rollback()
    assert stored_actions() == 2


def test_a_connection_that_ends_before_the_commit_stores_nothing_of_a_group(lock, gate, arrive):
    futures = [arrive(a_row("a"), token=a_token()), arrive(a_row("locked")), arrive(a_row("b"))]
    gate.open()
    wait_until(lambda: _terminate_who_waits() == 1, seconds=10)
    for future in futures:
        assert isinstance(outcome(future), OperationalError)
    lock.rollback()
    assert stored_actions() == 2
    assert append([a_row("a")], a_token()) == ONE_STORED


def test_a_lock_that_does_not_come_free_in_time_fails_the_batch_that_needs_it_alone(
    settings, sessions_as_served, lock, gate, arrive
):
    settings.LOGSTORE_LOCK_TIMEOUT = 0.3
    futures = [arrive(a_row("a")), arrive(a_row("locked")), arrive(a_row("b"))]
    gate.open()
    first, locked, last = map(outcome, futures)
    assert (first, last) == (ONE_STORED, ONE_STORED)
    assert isinstance(locked, OperationalError)
    assert not isinstance(locked, LogStoreError)


def _terminate_who_waits() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.rowcount


def test_an_interrupted_writer_leaves_the_others_an_answer_and_their_turn(gate, arrive):
    futures = [arrive(a_row("a"), token=InterruptingToken()), arrive(a_row("b"))]
    gate.open()
    interrupted, other = map(outcome, futures)
    assert isinstance(interrupted, KeyboardInterrupt)
    assert_outcome_is_unknown(other)
    assert append([a_row("b")]) == ONE_STORED


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupt the main thread, in which the test runs."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread is interrupted by a signal")

    def handle(*signal: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handle)
    yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_batch_whose_thread_is_interrupted_while_it_waits_gives_up_its_turn(gate, arrive, interrupt):
    def interrupt_the_first_of_two() -> Future[Receipt]:
        wait_until(lambda: len(appending._queue._waiting) == 1, seconds=10)
        behind = arrive(a_row("behind"))
        interrupt()
        return behind

    with ThreadPoolExecutor(1) as thread:
        behind = thread.submit(interrupt_the_first_of_two)
        with pytest.raises(Interrupted):
            append([a_row("interrupted")])
        gate.open()
        assert outcome(behind.result(10)) == ONE_STORED
    assert not Log.objects.filter(user_id="interrupted").exists()
    assert append([a_row()]) == ONE_STORED


def test_without_load_nobody_waits():
    append([a_row()])
    start = time.monotonic()
    for _ in range(20):
        append([a_row()])
    assert time.monotonic() - start < 2

"""Errors of PostgreSQL that a batch may meet: retried inside, or answered 503 with nothing stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from django.db import connection

from logs.lib.transactions import MAX_ATTEMPTS
from tests.builders import a_click, a_log, stored_actions, stored_logs
from tests.citus import skip_on_citus
from tests.server import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator[psycopg2.extensions.connection]:
    """Another session of the same PostgreSQL database."""
    skip_on_citus("waits for locks, and makes triggers, of one server")
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: nothing to deadlock or serialize")
    with closing(psycopg2.connect(**connection.get_connection_params())) as session:
        yield session


def test_a_deadlock_is_retried_inside(other, post):
    post([a_log(user="a"), a_log(user="b")])
    with other.cursor() as cursor:
        # The store's session is the first to look for a deadlock, and so its victim.
        cursor.execute("SET deadlock_timeout = '1min'")
        cursor.execute("UPDATE logs_log SET version = version + 1 WHERE user_id = 'b'")
        store_pid = _process_id()
        closer = threading.Thread(target=_close_the_circle, args=(other, store_pid))
        closer.start()
        answer = post([a_log(a_click(), user="a"), a_log(a_click(), user="b")])
        closer.join()
    assert (answer.status_code, answer.json()["stored"]) == (200, 2)
    assert stored_actions() == 8


def test_a_serialization_failure_is_retried_inside(other, post):
    post([a_log(user="a")])
    _execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with other.cursor() as cursor:
        cursor.execute("UPDATE logs_log SET version = version + 1 WHERE user_id = 'a'")
        committer = threading.Thread(target=_commit_once_waited_for, args=(other, _process_id()))
        committer.start()
        answer = post([a_log(a_click(), user="a")], HTTP_IDEMPOTENCY_KEY="a")
        committer.join()
    connection.close()
    assert (answer.status_code, answer.json()["stored"]) == (200, 1)
    assert stored_actions() == 4


@pytest.fixture
def failing_inserts(other) -> Iterator[psycopg2.extensions.connection]:
    """Inserts of actions that fail to serialize, as often as the sequence says."""
    _execute(
        """
        CREATE SEQUENCE failures;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('failures') <= TG_ARGV[0]::int THEN RAISE 'again' USING ERRCODE = '40001'; END IF;
            RETURN NULL;
        END $$
        """
    )
    yield other
    _execute("DROP FUNCTION fail CASCADE; DROP SEQUENCE failures")


@pytest.mark.parametrize(
    "failures, status, stored", [(MAX_ATTEMPTS - 1, 200, 3), (MAX_ATTEMPTS, 503, 0)], ids=["bounded", "too many"]
)
def test_retries_are_bounded(failing_inserts, post, failures, status, stored):
    _execute(
        f"CREATE TRIGGER fail AFTER INSERT ON logs_action FOR EACH STATEMENT EXECUTE FUNCTION fail('{int(failures)}')"
    )
    answer = post([a_log()])
    assert answer.status_code == status
    assert stored_actions() == stored


@pytest.mark.parametrize("code", ["53100", "25006", "57014", "55P03", "53200", "58030"])
def test_a_database_that_cannot_store_is_answered_503_and_keeps_nothing(other, post, code):
    _execute(
        f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'not now' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER fail AFTER INSERT ON logs_action FOR EACH STATEMENT EXECUTE FUNCTION fail()
        """
    )
    try:
        answer = post([a_log()])
    finally:
        _execute("DROP FUNCTION fail CASCADE")
    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert (stored_logs(), stored_actions()) == (0, 0)


def _close_the_circle(other: psycopg2.extensions.connection, store_pid: int) -> None:
    _wait_until_waiting(store_pid)
    with other.cursor() as cursor:
        cursor.execute("UPDATE logs_log SET version = version + 1 WHERE user_id = 'a'")
    other.commit()


def _commit_once_waited_for(other: psycopg2.extensions.connection, store_pid: int) -> None:
    _wait_until_waiting(store_pid)
    other.commit()


def _wait_until_waiting(pid: int) -> None:
    with closing(psycopg2.connect(**connection.get_connection_params())) as observer:
        observer.autocommit = True

        def is_waiting() -> bool:
            with observer.cursor() as cursor:
                cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
                return cursor.fetchone()[0]

        wait_until(is_waiting)


def _process_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)

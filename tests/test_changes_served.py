"""The change feed over real connections: waiting, many writers at once, and whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from urllib.parse import quote

import pytest

from tests.builders import a_log, a_view
from tests.load import ACTIONS_IN_A_BATCH, Load, actions_by_batch
from tests.server import wait_until

pytest_plugins = ["tests.fault_fixtures"]


class Reader(threading.Thread):
    """Follows the feed from its beginning until it has all, by the cursor of the last answer that it got."""

    def __init__(self, server, limit, wait=0):
        super().__init__()
        self._server, self._query = server, f"limit={limit}&wait={wait}"
        self.cursor, self.batches = "", []
        self.is_enough = threading.Event()

    def run(self):
        while True:
            page = self._next()
            if page is not None:
                for change in page["changes"]:
                    self.batches += [action["properties"]["batch"] for action in change["actions"]]
                self.cursor = page["cursor"]
                if not page["changes"] and self.is_enough.is_set():
                    return

    def _next(self):
        with suppress(OSError, HTTPException):
            answer = self._server.request("GET", f"/logs/changes?{self._query}&after={quote(self.cursor)}")
            if answer.status == 200:
                return answer.json()
        time.sleep(0.05)
        return None


def assert_each_reader_got_each_batch_once(cluster, readers, *loads):
    for reader in readers:
        reader.is_enough.set()
    for reader in readers:
        reader.join()
    stored = actions_by_batch(cluster)
    assert {name for load in loads for name in load.acknowledged} <= set(stored)
    for reader in readers:
        assert Counter(reader.batches) == stored


def test_many_writers_who_commit_in_any_order(cluster, serve):
    """100,000 actions by 20 writers, in transactions that stay open for a while, over two processes."""
    server = serve(DATABASE_URL=cluster.url, WEB_CONCURRENCY=2, WEB_THREADS=12)
    # A deferred trigger runs within COMMIT: it makes commits take different times, and so overtake each other.
    with cluster.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION tarry() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER tarry AFTER INSERT ON logs_idempotencykey
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tarry();
            """
        )
    readers = [Reader(server, limit=777), Reader(server, limit=10_000, wait=5), Reader(server, limit=3_000)]

    def write(writer):
        for number in range(10):
            name = f"{writer}-{number}"
            # Several statements and their own logs in one transaction: a key asks for that.
            batch = [a_log(*[a_view(batch=name)] * 50, user=f"{name}-{log}") for log in range(10)]
            assert server.post(batch, {"Idempotency-Key": name}).status == 200

    try:
        for reader in readers:
            reader.start()
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(write, range(20)))
    finally:
        with cluster.cursor() as cursor:
            cursor.execute("DROP FUNCTION tarry CASCADE")
    assert_each_reader_got_each_batch_once(cluster, readers)
    assert [len(reader.batches) for reader in readers] == [100_000] * 3


def test_readers_and_writers_and_databases_that_are_killed(cluster, serve, fault_rounds):
    server = serve(DATABASE_URL=cluster.url, WEB_CONCURRENCY=2, WEB_THREADS=8)
    readers = [Reader(server, limit=100), Reader(server, limit=1000, wait=1)]
    for reader in readers:
        reader.start()
    with Load(server, with_keys=True, prefix="key-") as repeated, Load(server, prefix="none-") as once:
        for _ in range(fault_rounds):
            for load in (repeated, once):
                load.acknowledges_more(random.randint(5, 15))
            if random.random() < 0.5:
                cluster.kill()
                cluster.start()
            else:
                # Its writers and readers alike.
                server.kill()
                server.start()
        repeated.acknowledges_more(5)
    assert_each_reader_got_each_batch_once(cluster, readers, repeated, once)
    assert set(Counter(readers[0].batches).values()) == {ACTIONS_IN_A_BATCH}


def test_those_who_wait_hold_no_connection_and_leave_threads_to_others(cluster, serve):
    server = serve(DATABASE_URL=cluster.url, WEB_CONCURRENCY=1, WEB_THREADS=4)
    with cluster.cursor() as cursor, ThreadPoolExecutor(8) as pool:

        def connections():
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            )
            return cursor.fetchone()[0]

        waiting = [pool.submit(server.request, "GET", "/logs/changes?wait=20") for _ in range(2)]
        # The test's own. Each looks at times.
        wait_until(lambda: connections() == 1)
        # There are two places. Whoever comes after is not kept waiting, and other requests have threads.
        assert server.request("GET", "/logs/changes?wait=20", timeout=5).status == 200
        assert server.post([a_log(a_view(viewed_id="new"))]).status == 200
        for answer in waiting:
            assert answer.result(10).json()["changes"][0]["actions"][0]["properties"]["viewedId"] == "new"


def test_a_server_that_stops_answers_those_who_wait(cluster, serve):
    server = serve(DATABASE_URL=cluster.url, WEB_CONCURRENCY=1, WEB_THREADS=4)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.request, "GET", "/logs/changes?wait=60")
        time.sleep(0.5)
        started = time.monotonic()
        os.kill(server.pid, 15)
        answer = waiting.result(10)
    assert (answer.status, answer.json()["changes"]) == (200, [])
    assert time.monotonic() - started < 5


@pytest.mark.django_db(transaction=True)
def test_what_another_process_stores_ends_a_wait(serve, post):
    server = serve(WEB_CONCURRENCY=1)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.request, "GET", "/logs/changes?wait=20")
        time.sleep(0.3)
        # By this process, not by the server's.
        post([a_log(a_view(viewed_id="new"))])
        [change] = waiting.result(10).json()["changes"]
    assert change["actions"] == [a_view(viewed_id="new")]

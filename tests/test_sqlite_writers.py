"""SQLite, which takes one writer at a time, under several processes that write."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import connection

from tests.builders import a_log
from tests.load import ACTIONS_IN_A_BATCH, Load
from tests.server import wait_until

pytest_plugins = ["tests.fault_fixtures"]

BUSY_TIMEOUT = 0.5


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty store."""
    if connection.vendor != "sqlite":
        pytest.skip("makes its own SQLite file: runs with the SQLite tests alone")
    migrated = request.getfixturevalue("migrated_url").removeprefix("sqlite:///")
    return Path(shutil.copy(migrated, tmp_path / "store.sqlite3"))


@pytest.fixture
def server(file, serve):
    return serve(DATABASE_URL=f"sqlite:///{file}", WEB_CONCURRENCY=1)


@pytest.fixture
def servers(file, server, serve):
    """Two servers on one file, of one process each."""
    return server, serve(DATABASE_URL=f"sqlite:///{file}", WEB_CONCURRENCY=1)


def test_processes_that_write_hard_wait_for_each_other(file, servers):
    first, second = servers
    with Load(first, prefix="first") as one, Load(second, prefix="second") as two:
        wait_until(lambda: min(len(one.acknowledged), len(two.acknowledged)) >= 30)
    assert set(one.statuses) == set(two.statuses) == {200}
    assert actions_by_batch(file) == dict.fromkeys(one.acknowledged | two.acknowledged, ACTIONS_IN_A_BATCH)


def test_a_killed_server_loses_no_acknowledged_batch_of_a_file(file, server):
    with Load(server) as load:
        load.acknowledges_more(20)
        server.kill()
        server.start()
        load.acknowledges_more(20)
    stored = actions_by_batch(file)
    assert load.acknowledged <= set(stored) <= load.sent
    assert set(stored.values()) == {ACTIONS_IN_A_BATCH}


def test_a_file_that_is_locked_for_too_long_is_answered_503(file, serve):
    server = serve(DATABASE_URL=f"sqlite:///{file}", LOGSTORE_SQLITE_TIMEOUT=BUSY_TIMEOUT)
    with another_writer(file):
        began = time.monotonic()
        refused = server.post([a_log()])
        took = time.monotonic() - began
        read = server.request("GET", "/logs/")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")
    assert refused.headers["Retry-After"]
    assert took >= BUSY_TIMEOUT
    assert (read.status, read.json()) == (200, [])
    assert server.post([a_log()]).status == 200


@contextmanager
def another_writer(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as session:
        session.execute("BEGIN IMMEDIATE")
        yield


def actions_by_batch(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as session:
        return Counter(dict(session.execute("SELECT properties ->> 'batch', count(*) FROM logs_action GROUP BY 1")))

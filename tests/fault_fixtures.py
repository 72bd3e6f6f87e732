"""The fixtures of the tests that break things: a cluster and servers of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from django.db import connection

from tests.cluster import Cluster, need_postgresql
from tests.server import Server


@pytest.fixture(scope="session")
def _running_cluster() -> Iterator[Cluster]:
    need_postgresql()
    # Not pytest's directory, which another user can't enter.
    directory = Path(mkdtemp(prefix="logstore-"))
    cluster = Cluster(directory)
    cluster.start()
    Server(directory / "server.log", DATABASE_URL=cluster.url).manage("migrate", "--verbosity", "0")
    yield cluster
    cluster.stop()
    shutil.rmtree(directory)


@pytest.fixture
def cluster(_running_cluster: Cluster) -> Cluster:
    """A cluster with an empty store, which the test may kill as long as it starts it again."""
    with _running_cluster.cursor() as cursor:
        cursor.execute("TRUNCATE logs_log, logs_action, logs_idempotencykey RESTART IDENTITY CASCADE")
    return _running_cluster


@pytest.fixture
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of the kind that the tests run on."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite3'}"
    return request.getfixturevalue("cluster").url


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with the given settings; it ends with the test."""
    servers: list[Server] = []

    def start(**settings: object) -> Server:
        server = Server(tmp_path / f"server-{len(servers)}.log", **settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()

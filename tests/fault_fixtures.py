"""The fixtures of the tests that break things: a cluster and servers of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.cluster import Cluster, need_postgresql
from tests.server import Server


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
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
def cluster(running_cluster: Cluster) -> Cluster:
    """A cluster with an empty store, which the test may kill as long as it starts it again."""
    with running_cluster.cursor() as cursor:
        cursor.execute("TRUNCATE logs_log, logs_action, logs_idempotencykey RESTART IDENTITY CASCADE")
    return running_cluster


@pytest.fixture(scope="session")
def cluster_server(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cluster") / "server.log", DATABASE_URL=running_cluster.url) as server:
        yield server


@pytest.fixture
def server(cluster: Cluster, cluster_server: Server) -> Iterator[Server]:
    """A server over the cluster that tests share, and may kill; it must not have failed to answer."""
    if not cluster_server.is_running:
        cluster_server.start()
    lines_before = len(cluster_server.log)
    yield cluster_server
    assert "Internal Server Error" not in cluster_server.log[lines_before:]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with settings of its own; it ends with the test, and must not have failed to answer."""
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        server = Server(tmp_path / f"server-{len(servers)}.log", **settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
        assert "Internal Server Error" not in server.log


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 64 MB, which only a process that may mount one can have: a limit of the machine, also in CI."""
    need_postgresql()
    directory = Path(mkdtemp(prefix="logstore-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        directory.rmdir()
        pytest.skip("this process may not mount a small disk")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()


@pytest.fixture
def cluster_on_small_disk(small_disk: Path) -> Iterator[Cluster]:
    cluster = Cluster(small_disk)
    cluster.start()
    Server(small_disk / "migrate.log", DATABASE_URL=cluster.url).manage("migrate", "--verbosity", "0")
    yield cluster
    cluster.stop()

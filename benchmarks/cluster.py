"""How ingest and reads grow with the workers of a Citus cluster, simulated on one machine.

    python -m benchmarks.cluster [--workers 1,2,4] [--seconds 5] [--rounds 3] [--share 0.2]

Makes PostgreSQL servers of its own with Citus: a coordinator, and workers that are each kept to a share of a processor
by a cgroup, as if each were a small machine. The coordinator and the store are not limited, so that the workers are
what there is too little of. Beside them stands plain PostgreSQL with one worker's share. What a network between the
machines costs is not in the figures.

- ingest: POST of 100 logs of ten actions, of 100 users, over 8 connections.
- reads: GET of one of a thousand of these users.

The servers stand beside each other and take turns; every figure is the median of the rounds. Needs to run as root, for
the cgroups, PostgreSQL's programs with Citus, and wrk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from benchmarks.measure import Round, wrk
from benchmarks.servers import Server, Workspace, manage, start_store
from tests.cluster import Cluster

SHARDS, CONNECTIONS, LOGS, ACTIONS, READERS = 8, 8, 100, 10, 1000
_PERIOD = 50_000  # microseconds
_SETTINGS = {
    "shared_preload_libraries": "citus",
    "max_prepared_transactions": 200,
    "max_connections": 200,
    "max_wal_size": "1GB",
    "shared_buffers": "128MB",
    "citus.node_conninfo": "sslmode=disable",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How ingest and reads grow with the workers of a cluster.")
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers, comma-separated (default: 1,2,4)")
    parser.add_argument("--seconds", type=int, default=5, help="that a round takes (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of each store (default: 3)")
    parser.add_argument("--share", type=float, default=0.2, help="of a processor for each worker (default: 0.2)")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("wrk"):
        sys.exit("The benchmark needs root, for the cgroups, and wrk.")
    with ExitStack() as stack:
        where = Workspace(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logstore-"))), "")
        servers = [_start(where, 0, arguments.share)]
        servers += [_start(where, int(count), arguments.share) for count in arguments.workers.split(",")]
        print(f"Each worker has {arguments.share} of a processor; {os.cpu_count()} processors in all.")
        posts: dict[str, list[Round]] = {server.name: [] for server in servers}
        gets: dict[str, list[Round]] = {server.name: [] for server in servers}
        readers = [f"user-{number}" for number in range(READERS)]
        for number in range(arguments.rounds + 1):
            for server in servers:
                post = wrk(server, ["post", f"r{number}", str(LOGS), str(ACTIONS)], CONNECTIONS, arguments.seconds)[0]
                get = wrk(server, ["get", *readers], CONNECTIONS, arguments.seconds)[0]
                # The first one warms up.
                if number:
                    posts[server.name].append(post)
                    gets[server.name].append(get)
        print(f"{'':24}{'actions stored/s':>19}{'reads/s':>19}")
        for server in servers:
            stored = median(one.rate for one in posts[server.name]) * LOGS * ACTIONS
            print(f"{server.name:24}{stored:>19,.0f}{median(one.rate for one in gets[server.name]):>19,.0f}")


def _start(where: Workspace, workers: int, share: float) -> Server:
    """Start a store over a cluster; without workers over one plain server, with the share of one."""
    name = f"{workers} workers" if workers else "plain PostgreSQL"
    coordinator = _node(where, share if not workers else None)
    if workers:
        with coordinator.cursor() as cursor:
            cursor.execute("CREATE EXTENSION citus")
            cursor.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", [coordinator.port])
            for _ in range(workers):
                worker = _node(where, share)
                with worker.cursor() as on_worker:
                    on_worker.execute("CREATE EXTENSION citus")
                cursor.execute("SELECT citus_add_node('127.0.0.1', %s)", [worker.port])
    manage(coordinator.url, "migrate", "--verbosity", "0")
    if workers:
        manage(coordinator.url, "distribute", "--shards", str(SHARDS))
    server = start_store(where, name, coordinator.url)
    where.wait_for(server)
    return server


def _node(where: Workspace, share: float | None) -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="logstore-"))
    where.stack.callback(shutil.rmtree, folder)
    node = Cluster(folder)
    node.start(**_SETTINGS)
    where.stack.callback(node.stop)
    if share is not None:
        where.stack.enter_context(_limited(node, share))
    return node


@contextmanager
def _limited(node: Cluster, share: float) -> Iterator[None]:
    """Keep a server and all of its processes to a share of a processor."""
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.exists() else Path("/sys/fs/cgroup")) / f"logstore-benchmark-{node.port}"
    group.mkdir()
    quota = int(share * _PERIOD)
    if first.exists():
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
    for process in node.processes():
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(process))
    try:
        yield
    finally:
        node.stop()
        # The server's own processes end a moment after the first one.
        while (group / "cgroup.procs").read_text():
            time.sleep(0.1)
        group.rmdir()


if __name__ == "__main__":
    main()

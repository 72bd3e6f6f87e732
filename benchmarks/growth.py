"""Whether a request costs more the more is stored: the same POST and GET beside 100,000 to 10,000,000 actions.

    DATABASE_URL=postgres://… python -m benchmarks.growth [SIZE…] [--rounds 7] [--seconds 4]

SIZE: how many actions a store holds; 100,000, 1,000,000 and 10,000,000 if none is given. Each is a store of its own,
filled by benchmarks/sample.py, with a server of two processes. A POST brings 10 actions of a new log; a GET asks for
one of up to a thousand users all over the store who have 40 actions in four logs each. One connection, so that latency
is that of one request. The stores take turns; every figure is the median of the rounds. Needs wrk, and a role that may
make databases and CHECKPOINT.
"""

from __future__ import annotations

import argparse

from benchmarks.measure import ROUND_HEADINGS, Round, print_medians, ratio, wrk
from benchmarks.sample import ACTIONS_A_LOG
from benchmarks.servers import (
    PYTHON,
    ROOT,
    Server,
    Workspace,
    environment,
    query,
    run,
    start_store,
    workspace,
)

SIZES = [100_000, 1_000_000, 10_000_000]
DAYS = 30
LOGS_A_READER, READERS = 4, 1000
# The greatest ratio of the largest store to the smallest one.
TARGET = 1.15


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a request costs more the more is stored.")
    parser.add_argument("sizes", metavar="SIZE", type=int, nargs="*", default=SIZES, help="stored actions")
    parser.add_argument("--rounds", type=int, default=7, help="of each store for each request (default: 7)")
    parser.add_argument("--seconds", type=int, default=4, help="that a round takes (default: 4)")
    arguments = parser.parse_args()
    with workspace("wrk") as where:
        servers = [_start(where, size) for size in sorted(arguments.sizes)]
        print(
            f"1 connection; medians of {arguments.rounds} rounds of {arguments.seconds} s; CPU is that of one request."
        )
        # Reading comes first, while the stores are of their sizes.
        gets = {server.name: ["get", *_readers(server)] for server in servers}
        _measure(f"GET of {LOGS_A_READER * ACTIONS_A_LOG} actions", servers, gets, arguments)
        posts = {server.name: ["post", "RUN", "1", "10"] for server in servers}
        _measure("POST of 10 actions", servers, posts, arguments)


def _start(where: Workspace, size: int) -> Server:
    database = where.new_database(f"growth_{size}")
    run([PYTHON, "-m", "benchmarks.sample", str(size), str(DAYS), "0"], ROOT, environment(database))
    server = start_store(where, f"{size:,} stored", database)
    where.wait_for(server)
    return server


def _readers(server: Server) -> list[str]:
    """Users with the same number of logs in every store, in no order."""
    users = f"""
        SELECT user_id FROM logs_log GROUP BY user_id HAVING count(*) = {LOGS_A_READER}
        ORDER BY md5(user_id) LIMIT {READERS}
    """
    return [user for (user,) in query(str(server.database), users)]


def _measure(title: str, servers: list[Server], scripts: dict[str, list[str]], arguments: argparse.Namespace) -> None:
    def take(server: Server, label: str, seconds: int) -> Round:
        script = [label if word == "RUN" else word for word in scripts[server.name]]
        return wrk(server, script, 1, seconds)[0]

    # Connections, prepared statements, compiled code and what fits of a store into memory are to be there before.
    for server in servers:
        take(server, "warm", arguments.seconds)
    measured: dict[str, list[Round]] = {server.name: [] for server in servers}
    for number in range(arguments.rounds):
        # Nobody follows the same one every time.
        for server in servers if number % 2 == 0 else reversed(servers):
            measured[server.name].append(take(server, str(number), arguments.seconds))
    print_medians(title, ROUND_HEADINGS, measured)
    smallest, *larger = measured
    for name in larger:
        pair = measured[name], measured[smallest]
        p50 = ratio(*([one.p50 for one in side] for side in pair))
        cpu = ratio(*([one.server_cpu + (one.database_cpu or 0) for one in side] for side in pair))
        print(f"  {name} / {smallest}: p50 {p50}, all CPU {cpu}; at most {TARGET}")


if __name__ == "__main__":
    main()

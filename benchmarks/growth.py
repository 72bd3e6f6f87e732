"""Whether it costs more the more is stored: the same requests beside 100,000 to 10,000,000 actions.

    DATABASE_URL=postgres://… python -m benchmarks.growth [SIZE…] [--rounds 7] [--seconds 4]

SIZE: how many actions a store holds; 100,000, 1,000,000 and 10,000,000 if none is given. Each is a store of its own,
filled by benchmarks/sample.py, with a server of two processes.

- GET by user: one of up to a thousand users all over the store who have 40 actions in four logs each.
- page: 100 logs from the middle of the store on, of everybody.
- admin list: the first page of the list of logs.
- POST: 10 actions of a new log.
- purge: the oldest PURGED actions, deleted as a retention does; Python's start is no part of it.

One connection, so that latency is that of one request. The stores take turns; every figure is the median of the rounds.
Needs wrk, and a role that may make databases and CHECKPOINT.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
from collections.abc import Sequence
from statistics import median

import requests

from benchmarks.measure import ROUND_HEADINGS, Round, is_here, print_medians, ratio, wrk
from benchmarks.sample import ACTIONS_A_LOG
from benchmarks.servers import (
    PYTHON,
    ROOT,
    Server,
    Workspace,
    environment,
    manage,
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
PURGED = 20_000
# Both tables with their indexes and what it takes to write them, for each action.
BYTES_AN_ACTION = 600

_PURGE = f"""
import time
from logs.models import Action
from logs.store.purge import Selection, purge
before = Action.objects.order_by("time").values_list("time", flat=True)[{PURGED}]
began = time.perf_counter()
deleted = sum(purge(Selection(before), "benchmark"))
print((time.perf_counter() - began) / deleted)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a request costs more the more is stored.")
    parser.add_argument("sizes", metavar="SIZE", type=int, nargs="*", default=SIZES, help="stored actions")
    parser.add_argument("--rounds", type=int, default=7, help="of each store for each request (default: 7)")
    parser.add_argument("--seconds", type=int, default=4, help="that a round takes (default: 4)")
    arguments = parser.parse_args()
    with workspace("wrk") as where:
        _require_room(where.database_url, arguments.sizes)
        servers = [_start(where, size) for size in sorted(arguments.sizes)]
        print(
            f"1 connection; medians of {arguments.rounds} rounds of {arguments.seconds} s; CPU is that of one request."
        )
        # Reading comes first, while the stores are of their sizes.
        gets = {server.name: ["get", *_readers(server)] for server in servers}
        _measure(f"GET of {LOGS_A_READER * ACTIONS_A_LOG} actions", servers, gets, arguments)
        pages = {server.name: ["page", _page_in_the_middle(server)] for server in servers}
        _measure("A page of 100 logs", servers, pages, arguments)
        lists = {server.name: ["page", "/admin/logs/log/", _login(server)] for server in servers}
        _measure("The admin's list of logs", servers, lists, arguments)
        posts = {server.name: ["post", "RUN", "1", "10"] for server in servers}
        _measure("POST of 10 actions", servers, posts, arguments)
        _measure_purge(servers, arguments.rounds)


def _require_room(database_url: str, sizes: Sequence[int]) -> None:
    """Exit where the stores would fill the server's disk, as far as that can be seen from here."""
    if not is_here(database_url):
        return
    [(folder,)] = query(database_url, "SHOW data_directory")
    needed, free = sum(sizes) * BYTES_AN_ACTION, shutil.disk_usage(folder).free
    if needed > free:
        sys.exit(f"The stores take about {needed / 2**30:.0f} GiB, and {folder} has {free / 2**30:.0f} GiB left.")


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


def _page_in_the_middle(server: Server) -> str:
    middle = """
        SELECT to_char((min(time) + (max(time) - min(time)) / 2) AT TIME ZONE 'UTC' - interval '6 hours',
            'YYYY-MM-DD"T"HH24:MI:SS') FROM logs_action
    """
    [(time,)] = query(str(server.database), middle)
    return f"/logs/?limit=100&from={time}-06:00"


def _login(server: Server) -> str:
    """Make a superuser and return the cookie of a session of theirs."""
    password = secrets.token_urlsafe()
    env = {**environment(str(server.database)), "DJANGO_SUPERUSER_PASSWORD": password}
    make = ["createsuperuser", "--no-input", "--username", "benchmark", "--email", "benchmark@example.com"]
    run([PYTHON, "manage.py", *make], ROOT, env)
    url = f"http://127.0.0.1:{server.port}/admin/login/"
    with requests.Session() as session:
        session.get(url, timeout=60)
        form = {"username": "benchmark", "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        session.post(url, form, headers={"Referer": url}, timeout=60)
        return f"sessionid={session.cookies['sessionid']}"


def _measure_purge(servers: list[Server], rounds: int) -> None:
    measured: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            query(str(server.database), "CHECKPOINT")
            measured[server.name].append(float(manage(str(server.database), "shell", "-v0", "-c", _PURGE)))
    print(f"\nPurge of {PURGED:,} actions")
    for name, seconds in measured.items():
        print(f"{name:24}{median(seconds) * 1e6:19.1f} µs an action")
    smallest, *larger = measured
    for name in larger:
        print(f"  {name} / {smallest}: {ratio(measured[name], measured[smallest])}")


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

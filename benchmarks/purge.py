"""How fast a retention deletes, what writers feel of it, and whether the tables grow.

    DATABASE_URL=postgres://… python -m benchmarks.purge [--actions 1000000] [--rounds 10]

- rate: the older half of a store of ten actions a log is deleted, as maintain does it; actions a second, with the CPU
  of the process. At least TARGET_RATE.
- writers: one client sends batches of ten actions to a server meanwhile, and as long without a purge; the 99th
  percentile of its answers. At most TARGET_P99 seconds more.
- growth: as much as a tenth of the store is deleted and stored again in every round, and the nightly room made free;
  the size of both tables with their indexes after the last round, beside that half-way: the indexes of the sample
  were made at once and are packed, so that they first take the size that they keep. At most TARGET_GROWTH.

The purge runs in this process, so that Python's start is no part of it. Needs a role that may make databases.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from statistics import median, quantiles
from typing import Any

import django

from benchmarks.sample import ACTIONS_A_LOG
from benchmarks.servers import PYTHON, ROOT, Server, environment, query, run, start_store, workspace

DAYS = 30
TARGET_RATE, TARGET_P99, TARGET_GROWTH = 100_000, 0.1, 1.05
_SIZE = "SELECT pg_total_relation_size('logs_action') + pg_total_relation_size('logs_log')"


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast a retention deletes, and what writers feel of it.")
    parser.add_argument("--actions", type=int, default=1_000_000, help="in the store (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=10, help="of deleting and storing (default: 10)")
    arguments = parser.parse_args()
    with workspace() as where:
        database = where.new_database("purge")
        run([PYTHON, "-m", "benchmarks.sample", str(arguments.actions), str(DAYS), "0"], ROOT, environment(database))
        server = start_store(where, "store", database)
        where.wait_for(server)
        os.environ.update(environment(database), DJANGO_SETTINGS_MODULE="logstore_project.settings")
        django.setup()
        before = _answer_times(server, threading.Event(), 3)
        meanwhile = _purge_beside_a_writer(server)
        for name, times in (("alone", before), ("beside the purge", meanwhile)):
            print(f"POST of 10 actions {name}: p50 {median(times) * 1000:.1f} ms, p99 {_p99(times) * 1000:.1f} ms.")
        print(f"  p99 later by {(_p99(meanwhile) - _p99(before)) * 1000:.1f} ms; at most {TARGET_P99 * 1000:.0f}.")
        _grow(database, arguments.actions // 10, arguments.rounds)


def _purge_beside_a_writer(server: Server) -> list[float]:
    from logs.store.purge import Selection, purge

    # Once alone, once beside a writer, a quarter of the store each.
    done, times = threading.Event(), list[float]()
    for name, age in (("alone", DAYS * 3 / 4), ("beside a writer", DAYS / 2)):
        writer = threading.Thread(target=lambda: times.extend(_answer_times(server, done, 3600)))
        if name != "alone":
            writer.start()
        began, cpu = time.perf_counter(), time.process_time()
        deleted = sum(purge(Selection(datetime.now(UTC) - timedelta(days=age)), "benchmark"))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        if name != "alone":
            done.set()
            writer.join()
        print(
            f"Purge {name}: {deleted:,} actions in {wall:.2f} s: {deleted / wall:,.0f} a second, own CPU {cpu:.2f} s."
        )
    print(f"  At least {TARGET_RATE:,} a second.")
    return times


def _answer_times(server: Server, done: threading.Event, seconds: float) -> list[float]:
    """Send batches until the time is over or it is done, and return how many seconds each answer took."""
    deadline, times = time.monotonic() + seconds, list[float]()
    while time.monotonic() < deadline and not done.is_set():
        began = time.perf_counter()
        status, answer = server.call("POST", "/logs/", _batch(f"writer-{len(times)}", 1))
        if status != 200:
            raise SystemExit(f"POST: {status}: {answer}")
        times.append(time.perf_counter() - began)
    return times


def _grow(database: str, actions: int, rounds: int) -> None:
    from logs.api.serializers import LogListSerializer, LogSerializer
    from logs.models import Action
    from logs.store.maintenance import reclaim
    from logs.store.purge import Selection, purge

    sizes = []
    for number in range(rounds):
        oldest = Action.objects.order_by("time").values_list("time", flat=True)[actions]
        for _ in purge(Selection(oldest), "benchmark"):
            pass
        for start in range(0, actions, 1000):
            batch = _batch(f"round-{number}-{start}", 1000 // ACTIONS_A_LOG)
            serializer = LogListSerializer(child=LogSerializer(), data=batch)
            serializer.is_valid(raise_exception=True)
            serializer.save()
        for _ in reclaim():
            pass
        sizes.append(query(database, _SIZE)[0][0])
        print(f"Round {number + 1}: {sizes[-1] / 2**20:.0f} MiB")
    print(f"  Last / half-way: {sizes[-1] / sizes[rounds // 2 - 1]:.3f}; at most {TARGET_GROWTH}.")


def _batch(session: str, logs: int) -> list[dict[str, Any]]:
    now = datetime.now(timezone(timedelta(hours=-6))).strftime("%Y-%m-%dT%H:%M:%S-06:00")
    action = {"time": now, "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}}
    return [
        {"userId": f"user-{number}", "sessionId": session, "actions": [action] * ACTIONS_A_LOG}
        for number in range(logs)
    ]


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]


if __name__ == "__main__":
    main()

"""Time, CPU and memory of servers, of commands and of PostgreSQL's processes, and tables of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psycopg2

from benchmarks.servers import ROOT, Server, environment, query, run

SCRIPT = Path(__file__).with_name("http.lua")
TICKS = os.sysconf("SC_CLK_TCK")
WATCH_SECONDS = 0.05

_BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND (datname = current_database() OR backend_type IN ('walwriter', 'checkpointer'))"
)


@dataclass(frozen=True)
class Round:
    """Requests a second, milliseconds of latency, and milliseconds of CPU for each request."""

    rate: float
    p50: float
    p99: float
    server_cpu: float
    # None where there is no PostgreSQL, or it runs on another machine.
    database_cpu: float | None


ROUND_HEADINGS = ("requests/s", "p50 ms", "p99 ms", "server CPU ms", "PostgreSQL CPU ms")


def wrk(server: Server, script: Sequence[str], connections: int, seconds: int) -> tuple[Round, int]:
    """Send a server requests by wrk and return what they cost and how many they were; exit if one is not answered.

    script: the arguments of http.lua.
    """
    if server.database:
        query(server.database, "CHECKPOINT")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{server.port}", "--", *script]
    before = cpu(tree(server.process.pid)), cpu(_backends(server.database))
    output = run(command, ROOT)
    after = cpu(tree(server.process.pid)), cpu(_backends(server.database))
    figures = json.loads(output.splitlines()[-1])
    requests = figures["requests"]
    if figures["refused"] or figures["broken"] or not requests:
        sys.exit(f"{script[:4]}: not every request to {server.name} was answered with success: {figures}")
    server_cpu, database_cpu = (
        sum(used - was.get(process, 0) for process, used in now.items()) / requests
        for was, now in zip(before, after, strict=True)
    )
    _wait_until_idle(server)
    latency = figures["p50"] / 1000, figures["p99"] / 1000
    rate = requests / figures["duration"] * 1e6
    return Round(rate, *latency, server_cpu, database_cpu if after[1] else None), requests


@dataclass(frozen=True)
class Cost:
    """Seconds that something takes, and seconds of CPU, its own processes' and PostgreSQL's."""

    wall: float
    own_cpu: float
    # None where PostgreSQL runs on another machine.
    database_cpu: float | None


COST_HEADINGS = ("wall s", "own CPU s", "PostgreSQL CPU s")


def command_cost(command: Sequence[str], database: str) -> Cost:
    """Run a program that works on a database, named by its URL, and return what that costs; exit if it fails."""
    query(database, "CHECKPOINT")
    env = {**os.environ, **environment(database)}
    with tempfile.TemporaryFile() as said, watch_database(database) as used:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=said, stderr=said)
        # Not wait(), which does not tell what it used.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)[:300]} failed:\n{said.read()[-3000:].decode()}")
    # Of a program with the children that it waited for, as a shell does.
    return Cost(wall, usage.ru_utime + usage.ru_stime, _seconds(used))


@contextmanager
def watch_database(database: str) -> Iterator[dict[int, float]]:
    """Add up, by process, the milliseconds of CPU that PostgreSQL's processes for a database use meanwhile.

    Looks every WATCH_SECONDS, because with a process that ends goes what it has used. Nothing, where PostgreSQL runs on
    another machine.
    """
    used: dict[int, float] = {}
    if not is_here(database):
        yield used
        return
    done = threading.Event()
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def look() -> dict[int, float]:
            cursor.execute(_BACKENDS)
            return cpu([pid for (pid,) in cursor.fetchall()])

        def watch() -> None:
            while not done.wait(WATCH_SECONDS):
                latest.update(look())

        before = look()
        latest = dict(before)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield used
        finally:
            done.set()
            watcher.join()
        latest.update(look())
        used.update({process: total - before.get(process, 0) for process, total in latest.items()})


def server_cost(server: Server, database: str, work: Iterable[object]) -> Cost:
    """Take all that comes from a server and return what that costs it; database: its URL."""
    query(database, "CHECKPOINT")
    with watch_database(database) as used:
        before = cpu(tree(server.process.pid))
        began = time.perf_counter()
        for _ in work:
            pass
        wall = time.perf_counter() - began
        own = sum(cpu(tree(server.process.pid)).values()) - sum(before.values())
    return Cost(wall, own / 1000, _seconds(used))


def cpu(processes: Iterable[int]) -> dict[int, float]:
    """Milliseconds of CPU that each process has used so far; without those that have ended."""
    used = {}
    for process in processes:
        try:
            # The first column after the name is the third; the 14th and 15th are utime and stime: proc(5).
            columns = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used[process] = (int(columns[11]) + int(columns[12])) * 1000 / TICKS
    return used


def peak_memory(processes: Iterable[int]) -> float:
    """MiB of memory that processes have held at the most, each at its own time, added up."""
    peaks = [
        int(line.split()[1])
        for process in processes
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return sum(peaks) / 1024


def tree(process: int) -> list[int]:
    """Ids of a process and of all that come from it."""
    children = [
        child for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [process, *(member for child in children for member in tree(int(child)))]


def print_medians(title: str, headings: Sequence[str], measured: Mapping[str, Sequence[Round | Cost]]) -> None:
    """Print a table of the medians of each contestant's rounds."""
    print(f"\n{title}\n{'':24}" + "".join(f"{heading:>19}" for heading in headings))
    for name, rounds in measured.items():
        figures = [None if None in values else median(values) for values in zip(*map(astuple, rounds), strict=True)]
        print(f"{name:24}" + "".join(f"{'-':>19}" if value is None else f"{value:19.2f}" for value in figures))
    sys.stdout.flush()


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """Write the ratio of two medians, and in brackets the least and the most of a round."""
    by_round = [one / other for one, other in zip(above, below, strict=True)]
    return f"{median(above) / median(below):.2f} ({min(by_round):.2f} to {max(by_round):.2f})"


def _backends(database: str | None) -> list[int]:
    """Ids of PostgreSQL's processes for a database, if they are on this machine."""
    return [pid for (pid,) in query(database, _BACKENDS)] if database and is_here(database) else []


def is_here(database: str) -> bool:
    """Return whether a database, named by its URL, is on this machine."""
    return urlsplit(database).hostname in (None, "localhost", "127.0.0.1", "::1")


def _seconds(used: Mapping[int, float]) -> float | None:
    return sum(used.values()) / 1000 if used else None


def _wait_until_idle(server: Server) -> None:
    """Wait for the requests that the round broke off at its end."""
    deadline, before = time.monotonic() + 60, -1000.0
    while (used := sum(cpu(tree(server.process.pid)).values())) - before > 10 and time.monotonic() < deadline:
        before = used
        time.sleep(0.2)

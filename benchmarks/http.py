"""How fast the store answers over HTTP, beside careful builds of the same routes, as ratios within one run.

    DATABASE_URL=postgres://… python -m benchmarks.http [--rounds 7] [--seconds 4] [--only post10,get200]

The peers are in benchmarks/peers, the stock build is in benchmarks/stock; each serves with two processes, on a database
of its own that is made on DATABASE_URL's server and dropped at the end. Needs wrk, and a role that may make databases
and CHECKPOINT. All have to answer right before anything is measured. They take turns, so that what slows the machine
down slows all of them; every figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks.peers import contract
from benchmarks.peers.contestants import ROOT, Contestants, Server, query, run

SCRIPT = Path(__file__).with_name("http.lua")
CONNECTIONS = 8
TICKS = os.sysconf("SC_CLK_TCK")
PEERS = ("fastapi", "fastify")


@dataclass(frozen=True)
class Workload:
    """What wrk sends: script holds the arguments of http.lua, with RUN for a text that no other run has."""

    title: str
    script: str
    contestants: tuple[str, ...]
    # How many actions a request stores.
    stores: int = 0
    with_stock: bool = False


# Reading comes first, while all tables are of one size.
WORKLOADS = {
    "get200": Workload("GET of a user's 200 actions", f"get {contract.USERS}", ("store", *PEERS), 0, True),
    "post10": Workload("POST of 10 actions in 1 log", "post RUN 1 10", ("store", *PEERS), 10),
    "post1000": Workload("POST of 1,000 actions in 100 logs", "post RUN 100 10", ("store", *PEERS), 1000, True),
    "key": Workload("POST of 10 actions in 1 log, without a key and with one", "post RUN 1 10", ("store", "key"), 10),
    "sqlite": Workload("POST of 10 actions in 1 log, on SQLite", "post RUN 1 10", ("sqlite",), 10),
}


@dataclass(frozen=True)
class Round:
    """Requests a second, milliseconds of latency, and milliseconds of CPU for each request."""

    rate: float
    p50: float
    p99: float
    server_cpu: float
    # None where there is no PostgreSQL, or it runs on another machine.
    database_cpu: float | None


HEADINGS = ("requests/s", "p50 ms", "p99 ms", "server CPU ms", "PostgreSQL CPU ms")
Measured = dict[str, list[Round]]


def main() -> None:
    arguments = _arguments()
    if not shutil.which("wrk"):
        print("The benchmark needs wrk: apt-get install wrk.", file=sys.stderr)
        sys.exit(2)
    if urlsplit(os.environ.get("DATABASE_URL", "")).scheme not in ("postgres", "postgresql"):
        sys.exit("The benchmark needs PostgreSQL: set DATABASE_URL.")
    # So that a stop clears away what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logstore-benchmark-")))
        contestants = Contestants(stack, folder, os.environ["DATABASE_URL"])
        bench = _Bench(contestants, arguments.seconds)
        print(f"{CONNECTIONS} connections; medians of {arguments.rounds} rounds of {arguments.seconds} s.")
        print(f"Load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; much of it, and ratios err.")
        print("CPU is that of one request; PostgreSQL's with walwriter and checkpointer, which serve all databases.")
        measured = {}
        for name in arguments.only:
            measured[name] = bench.measure(name, arguments.rounds)
            _report(WORKLOADS[name].title, measured[name])
        bench.check_stored()
    _report_ratios(measured)


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(WORKLOADS):
            raise argparse.ArgumentTypeError(f"no such workload: {', '.join(unknown)}")
        return [name for name in WORKLOADS if name in text.split(",")]

    parser = argparse.ArgumentParser(description="How fast the store answers over HTTP, as ratios to its peers.")
    parser.add_argument("--rounds", type=int, default=7, help="of each contestant for each workload (default: 7)")
    parser.add_argument("--seconds", type=int, default=4, help="that a round takes (default: 4)")
    parser.add_argument("--only", type=names, default=list(WORKLOADS), help=f"any of {','.join(WORKLOADS)}")
    return parser.parse_args()


class _Bench:
    def __init__(self, contestants: Contestants, seconds: int) -> None:
        self._contestants, self._seconds = contestants, seconds
        # How many actions of the rounds each database was said to have stored.
        self._acknowledged: Counter[str] = Counter()

    def measure(self, name: str, rounds: int) -> Measured:
        """Return the rounds of each contestant of a workload."""
        workload = WORKLOADS[name]
        servers = [server for contestant in workload.contestants if (server := self._contestants.get(contestant))]
        # Connections, prepared statements and compiled code are to be there before it counts.
        for server in servers:
            self._round(server, workload, f"{name}-warm", 1)
        measured: Measured = {server.name: [] for server in servers}
        for number in range(rounds):
            # Nobody follows the same one every time.
            for server in servers if number % 2 == 0 else reversed(servers):
                measured[server.name].append(self._round(server, workload, f"{name}-{number}", self._seconds))
        if workload.with_stock and (stock := self._contestants.get("stock")):
            # Once, and for longer, since a request may take it a second.
            measured["stock"] = [self._round(stock, workload, name, self._seconds * 2)]
        return measured

    def _round(self, server: Server, workload: Workload, label: str, seconds: int) -> Round:
        if server.database:
            query(server.database, "CHECKPOINT")
        script = [*workload.script.replace("RUN", f"{label}-{server.name}").split(), *filter(None, [server.key])]
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "60s", "-s", str(SCRIPT)]
        before = _cpu(_tree(server.process.pid)), _cpu(_backends(server))
        output = run([*command, f"http://127.0.0.1:{server.port}", "--", *script], ROOT)
        after = _cpu(_tree(server.process.pid)), _cpu(_backends(server))
        figures = json.loads(output.splitlines()[-1])
        requests = figures["requests"]
        if figures["refused"] or figures["broken"] or not requests:
            sys.exit(f"{workload.title}: not every request to {server.name} was answered with success: {figures}")
        if server.database:
            self._acknowledged[server.database] += requests * workload.stores
        server_cpu, database_cpu = (
            sum(used - was.get(process, 0) for process, used in now.items()) / requests
            for was, now in zip(before, after, strict=True)
        )
        _wait_until_idle(server)
        latency = figures["p50"] / 1000, figures["p99"] / 1000
        return Round(requests / figures["duration"] * 1e6, *latency, server_cpu, database_cpu if after[1] else None)

    def check_stored(self) -> None:
        """Exit if a database lacks actions that it was said to have stored."""
        for server in filter(None, self._contestants.servers.values()):
            if server.database:
                ((count,),) = query(server.database, f"SELECT count(*) FROM {server.table}")
                acknowledged = contract.STORED + self._acknowledged[server.database]
                if count < acknowledged:
                    sys.exit(f"{server.name} lost actions: of {acknowledged} it has {count}.")


def _cpu(processes: Sequence[int]) -> dict[int, float]:
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


def _tree(process: int) -> list[int]:
    """Ids of a process and of all that come from it."""
    children = [
        child for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [process, *(member for child in children for member in _tree(int(child)))]


def _backends(server: Server) -> list[int]:
    """Ids of PostgreSQL's processes for the server, if they are on this machine."""
    if not server.database or urlsplit(server.database).hostname not in (None, "localhost", "127.0.0.1", "::1"):
        return []
    ours = (
        "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND (datname = current_database() OR backend_type IN ('walwriter', 'checkpointer'))"
    )
    return [row[0] for row in query(server.database, ours)]


def _wait_until_idle(server: Server) -> None:
    """Wait for the requests that the round broke off at its end."""
    deadline, before = time.monotonic() + 60, -1000.0
    while (used := sum(_cpu(_tree(server.process.pid)).values())) - before > 10 and time.monotonic() < deadline:
        before = used
        time.sleep(0.2)


def _report(title: str, measured: Mapping[str, list[Round]]) -> None:
    print(f"\n{title}\n{'':10}" + "".join(f"{heading:>19}" for heading in HEADINGS))
    for name, rounds in measured.items():
        figures = [None if None in values else median(values) for values in zip(*map(astuple, rounds), strict=True)]
        print(f"{name:10}" + "".join(f"{'-':>19}" if value is None else f"{value:19.2f}" for value in figures))
    sys.stdout.flush()


def _report_ratios(measured: Mapping[str, Measured]) -> None:
    print("\nRatios")
    for name in ("post10", "post1000", "get200"):
        if name in measured:
            peer = max(measured[name].keys() & set(PEERS), key=lambda peer: _rate(measured[name][peer]))
            print(f"  {WORKLOADS[name].title}: requests/s, store / {peer}: {_ratio(measured[name], 'store', peer)}")
    if "post10" in measured:
        store = measured["post10"]["store"]
        print(
            f"  {WORKLOADS['post10'].title}: p99 / p50 of the store: {median(one.p99 / one.p50 for one in store):.2f}"
        )
    if "key" in measured:
        print(f"  {WORKLOADS['key'].title}: requests/s, without / with: {_ratio(measured['key'], 'store', 'key')}")
    if "sqlite" in measured:
        rounds = measured["sqlite"]["sqlite"]
        p50, p99 = median(one.p50 for one in rounds), median(one.p99 for one in rounds)
        print(f"  {WORKLOADS['sqlite'].title}: {_rate(rounds):.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def _rate(rounds: Sequence[Round]) -> float:
    return median(one.rate for one in rounds)


def _ratio(measured: Measured, above: str, below: str) -> str:
    """Write the ratio of two contestants' medians, and in brackets the least and the most of a round."""
    by_round = [one.rate / other.rate for one, other in zip(measured[above], measured[below], strict=True)]
    return f"{_rate(measured[above]) / _rate(measured[below]):.2f} ({min(by_round):.2f} to {max(by_round):.2f})"


if __name__ == "__main__":
    main()

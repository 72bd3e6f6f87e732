"""How fast the store answers over HTTP, beside careful builds of the same routes, as ratios within one run.

    DATABASE_URL=postgres://… python -m benchmarks.http [--rounds 7] [--seconds 4] [--only post10,get200]

The peers are in benchmarks/peers, the stock build is in benchmarks/stock; each serves with two processes, on a database
of its own that is made on DATABASE_URL's server and dropped at the end. Needs wrk, and a role that may make databases
and CHECKPOINT. All have to answer right before anything is measured. They take turns, so that what slows the machine
down slows all of them; every figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import ROUND_HEADINGS, Round, print_medians, ratio, wrk
from benchmarks.peers import contract
from benchmarks.peers.contestants import Contestants
from benchmarks.servers import Server, query, workspace

CONNECTIONS = 8
READERS = " ".join(f"reader-{number}" for number in range(contract.USERS))
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
    "get200": Workload("GET of a user's 200 actions", f"get {READERS}", ("store", *PEERS), 0, True),
    "post10": Workload("POST of 10 actions in 1 log", "post RUN 1 10", ("store", *PEERS), 10),
    "post1000": Workload("POST of 1,000 actions in 100 logs", "post RUN 100 10", ("store", *PEERS), 1000, True),
    "key": Workload("POST of 10 actions in 1 log, without a key and with one", "post RUN 1 10", ("store", "key"), 10),
    "sqlite": Workload("POST of 10 actions in 1 log, on SQLite", "post RUN 1 10", ("sqlite",), 10),
}

Measured = dict[str, list[Round]]


def main() -> None:
    arguments = _arguments()
    with workspace("wrk") as where:
        contestants = Contestants(where)
        bench = _Bench(contestants, arguments.seconds)
        print(f"{CONNECTIONS} connections; medians of {arguments.rounds} rounds of {arguments.seconds} s.")
        print("CPU is that of one request; PostgreSQL's with walwriter and checkpointer, which serve all databases.")
        measured = {}
        for name in arguments.only:
            measured[name] = bench.measure(name, arguments.rounds)
            print_medians(WORKLOADS[name].title, ROUND_HEADINGS, measured[name])
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
        script = [*workload.script.replace("RUN", f"{label}-{server.name}").split(), *filter(None, [server.key])]
        measured, requests = wrk(server, script, CONNECTIONS, seconds)
        if server.database:
            self._acknowledged[server.database] += requests * workload.stores
        return measured

    def check_stored(self) -> None:
        """Exit if a database lacks actions that it was said to have stored."""
        for server in filter(None, self._contestants.servers.values()):
            if server.database:
                ((count,),) = query(server.database, f"SELECT count(*) FROM {server.table}")
                acknowledged = contract.STORED + self._acknowledged[server.database]
                if count < acknowledged:
                    sys.exit(f"{server.name} lost actions: of {acknowledged} it has {count}.")


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
    return ratio([one.rate for one in measured[above]], [one.rate for one in measured[below]])


if __name__ == "__main__":
    main()

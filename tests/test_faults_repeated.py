"""Faults in the middle of group commits, again and again: nothing is lost, partial or doubled. PostgreSQL.

`make test ARGS="tests/test_faults_repeated.py --fault-rounds=100"` repeats each of them so often.
"""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.cluster import SEPARATE_HOST, Cluster, resize
from tests.load import Load, assert_nothing_lost_nothing_partial
from tests.proxy import Proxy, Towards
from tests.server import Server, wait_until

pytest_plugins = ["tests.fault_fixtures"]

FAR = f"{SEPARATE_HOST}/32"


@contextmanager
def loaded(cluster: Cluster, server: Server) -> Iterator[tuple[Load, Load]]:
    """Load a server with batches under keys and with batches without; in the end the store holds what it must."""
    with Load(server, with_keys=True, prefix="key-") as repeated, Load(server, prefix="none-") as once:
        yield repeated, once
    assert_nothing_lost_nothing_partial(cluster, repeated, once)
    assert {*repeated.statuses, *once.statuses} == {200, 503}


def meet_again_and_again(rounds: int, loads: tuple[Load, Load], fault: Callable[[], None]) -> None:
    """Meet a fault, each time once batches of both kinds are on their way again."""
    for _ in range(rounds):
        for load in loads:
            load.acknowledges_more(random.randint(1, 10))
        time.sleep(random.uniform(0, 0.02))
        fault()
    for load in loads:
        load.acknowledges_more(10)


def test_postgresql_killed(cluster, serve, fault_rounds):
    def fault() -> None:
        cluster.kill()
        cluster.start()

    with loaded(cluster, serve(DATABASE_URL=cluster.url, WEB_THREADS=8)) as loads:
        meet_again_and_again(fault_rounds, loads, fault)


def test_the_network_cut_between_two_bytes(cluster, serve, fault_rounds):
    def fault() -> None:
        # A batch is some thousand bytes on the way there, the answer some dozen.
        towards = random.choice([*Towards])
        network.cut(towards, after=random.randrange(100 if towards is Towards.STORE else 20_000))
        time.sleep(random.uniform(0, 0.05))
        network.mend()

    with Proxy(cluster.url) as network, loaded(cluster, serve(DATABASE_URL=network.url, WEB_THREADS=8)) as loads:
        meet_again_and_again(fault_rounds, loads, fault)


def test_a_network_that_falls_silent(cluster, serve, fault_rounds):
    def fault() -> None:
        # Packets are lost without a word; what was sent before the network is back is sent anew.
        _route("add")
        try:
            time.sleep(next(seconds))
        finally:
            _route("delete")

    # For too long at first, and then for so short that it is only felt.
    seconds = itertools.cycle([2, 0.1, 0.1, 0.1])
    silence = "?tcp_user_timeout=1000&keepalives_idle=1&keepalives_interval=1&keepalives_count=1&connect_timeout=2"
    _route("add")
    _route("delete")
    url = cluster.url.replace("127.0.0.1", SEPARATE_HOST) + silence
    with loaded(cluster, serve(DATABASE_URL=url, WEB_THREADS=8)) as loads:
        meet_again_and_again(fault_rounds, loads, fault)


def test_a_disk_that_is_full(cluster_on_small_disk, small_disk, serve, fault_rounds):
    filler = small_disk / "filler"

    def refusals() -> int:
        return sum(load.statuses.count(503) for load in loads)

    def fault() -> None:
        before = refusals()
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        wait_until(lambda: refusals() > before)
        filler.unlink()
        # PostgreSQL starts itself again where it could not even write its log of changes, unless that fails, too.
        cluster_on_small_disk.recover()
        # Room for what comes next, but not so much that it takes long to fill.
        resize(small_disk, shutil.disk_usage(small_disk).used // (1 << 20) + 48)

    with loaded(cluster_on_small_disk, serve(DATABASE_URL=cluster_on_small_disk.url, WEB_THREADS=8)) as loads:
        meet_again_and_again(fault_rounds, loads, fault)


def _route(change: str) -> None:
    """Lose what is sent to FAR, or no longer: a right of the machine's owner, also in CI."""
    command = ["ip", "route", change, "blackhole", FAR, "table", "local"]
    if shutil.which("ip") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this process may not change routes")

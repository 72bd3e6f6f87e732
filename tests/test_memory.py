"""Whatever a body holds, the store takes a few times its size to read it, and gives that back."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import memory
from tests.builders import a_log
from tests.memory import BODIES, BODY_BYTES
from tests.server import PROJECT, Server

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells a peak")

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def reader() -> Iterator[subprocess.Popen[str]]:
    """A process that reads bodies and says what memory that took."""
    command = [sys.executable, "-m", "tests.memory"]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        _measure(process, "zeros")
        yield process
        process.stdin.close()


def _measure(reader: subprocess.Popen[str], name: str) -> int:
    reader.stdin.write(f"{name}\n")
    reader.stdin.flush()
    return int(reader.stdout.readline())


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_read_in_a_few_times_its_size(reader, name):
    assert _measure(reader, name) < 8 * BODY_BYTES + 8 * MEBIBYTE


@pytest.fixture
def worker(manage, tmp_path) -> Iterator[tuple[Server, str]]:
    """A server of one process over an empty store, and the id of that process."""
    settings = {"DATABASE_URL": manage.environment["DATABASE_URL"], "WEB_CONCURRENCY": 1, "WEB_THREADS": 2}
    with Server(tmp_path / "server.log", **settings) as server:
        assert server.post([a_log()]).status == 200
        (pid,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        yield server, pid


STATUSES = {
    "valid actions, then a bad one": 400,
    "valid logs": 200,
    "lines of valid logs": 200,
}


def test_a_server_stores_a_body_in_a_few_times_its_size_and_gives_that_back(worker):
    server, pid = worker
    size = 20 * MEBIBYTE - 1
    idle = memory.memory(pid)[0]
    peaks = {}
    for name, status in STATUSES.items():
        body = gzip.compress(BODIES[name](size), 1)
        media_type = "application/x-ndjson" if name.startswith("lines") else "application/json"
        memory.forget_peak(pid)
        headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
        assert server.request("POST", "/logs/", body, headers, timeout=120).status == status, name
        peaks[name] = memory.memory(pid)[1] - idle
    assert max(peaks.values()) < 8 * size + 32 * MEBIBYTE, peaks
    assert memory.memory(pid)[0] - idle < 4 * size

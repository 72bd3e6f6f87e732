"""PostgreSQL clusters that a test makes, starts, kills and starts again.

Not pytest-postgresql: it refuses to run as root, as containers do, can't kill a server and start it again, and brings
a second driver with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
from django.db import connection

# PostgreSQL does not run as root: then it runs as the user that its package made.
RUN_AS = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def find_postgresql() -> Path | None:
    """The directory of initdb and postgres, the newest where there are several."""
    with suppress(FileNotFoundError, subprocess.CalledProcessError):
        directory = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
        if (directory / "initdb").exists():
            return directory
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in versions), key=lambda path: int(path.parent.name), default=None)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def skip_or_fail(reason: str) -> None:
    """Skip a test that this machine can't run; fail where every test has to run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI this test has to run")
    pytest.skip(reason)


def need_postgresql() -> None:
    """Skip a test that makes a cluster, where there is nothing to make it with or it has run already."""
    if connection.vendor != "postgresql":
        pytest.skip("makes its own PostgreSQL cluster: runs with the PostgreSQL tests alone")
    if find_postgresql() is None:
        skip_or_fail("PostgreSQL's initdb is not installed")


class Cluster:
    """A PostgreSQL server of its own, its data in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._binaries = find_postgresql()
        self._data = directory / "data"
        self._log = directory / "log"
        self.port = free_port()
        self.url = f"postgres://store@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        if RUN_AS:
            shutil.chown(directory, "postgres", "postgres")
        make = [self._binaries / "initdb", "-D", self._data, "-U", "store", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(
            [*make, "--no-sync", "--wal-segsize=1"], check=True, cwd="/", stdout=subprocess.DEVNULL, **RUN_AS
        )

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_wal_size": "16MB",
            "min_wal_size": "2MB",
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *options],
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                **RUN_AS,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """End every process of the server at once, as a power cut does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Its children, which nobody waits for, hold the memory that a new server asks for.
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self._process.pid, 0)
                time.sleep(0.02)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    @contextmanager
    def cursor(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor of a superuser, each statement a transaction."""
        session = psycopg2.connect(self.url)
        session.autocommit = True
        try:
            with session.cursor() as cursor:
                yield cursor
        finally:
            session.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg2.connect(self.url).close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(self._log.read_text()[-2000:]) from None
                time.sleep(0.05)

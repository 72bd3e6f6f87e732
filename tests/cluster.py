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
from typing import TypedDict

import psycopg2
import pytest
from django.db import connection

# An address of this machine that clusters alone listen on, so that a test may cut it off.
SEPARATE_HOST = "127.66.0.1"


class RunAs(TypedDict, total=False):
    """The arguments of subprocess.Popen that say as whom a program runs."""

    user: str
    group: str
    extra_groups: list[str]


# PostgreSQL does not run as root: then it runs as the user that its package made.
RUN_AS: RunAs = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


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
        return int(listener.getsockname()[1])


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


def resize(disk: Path, megabytes: int) -> None:
    """Resize a disk in memory that is in use."""
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(disk)], check=True)


class Cluster:
    """A PostgreSQL server of its own, its data in `directory`. Raises FileNotFoundError without PostgreSQL.

    primary: the server whose streaming replica it is; None is none's.
    """

    def __init__(self, directory: Path, primary: Cluster | None = None) -> None:
        binaries = find_postgresql()
        if binaries is None:
            raise FileNotFoundError("initdb")
        self._binaries = binaries
        self._data = directory / "data"
        self._log = directory / "log"
        self.port = free_port()
        self.url = f"postgres://store@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        if RUN_AS:
            shutil.chown(directory, "postgres", "postgres")
        make: list[str | Path]
        if primary is None:
            make = [self._binaries / "initdb", "-D", self._data, "-U", "store", "--no-sync"]
            make += ["--auth=trust", "--encoding=UTF8", "--wal-segsize=1"]
        else:
            make = [self._binaries / "pg_basebackup", "-D", self._data, "-d", primary.url, "--no-sync"]
            make += ["--write-recovery-conf", "--checkpoint=fast"]
        subprocess.run(make, check=True, cwd="/", stdout=subprocess.DEVNULL, **RUN_AS)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self, **more: object) -> None:
        """Start the server; more: settings of PostgreSQL's."""
        settings = {
            "port": self.port,
            "listen_addresses": f"127.0.0.1,{SEPARATE_HOST}",
            "unix_socket_directories": "",
            "max_wal_size": "16MB",
            "min_wal_size": "2MB",
            # For a replica that was away for a moment.
            "wal_keep_size": "64MB",
            **more,
        }
        options: list[str | Path] = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
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

    def recover(self) -> None:
        """Return once the server takes connections again after what ended it; started anew, where it gave up itself."""
        try:
            self._wait_until_ready()
        except RuntimeError:
            self.start()

    def kill(self) -> None:
        """End every process of the server at once, as a power cut does."""
        if self._process is None:
            return
        # So that it has no new children, each of which is in a process group of its own.
        os.kill(self._process.pid, signal.SIGSTOP)
        pid, *children = self.processes()
        for process in (pid, *children):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
        # They hold the memory that a new server asks for.
        while not all(_has_ended(child) for child in children):
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """The ids of the server's processes, the first one's first; none while it does not run."""
        if self._process is None:
            return []
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def stop(self) -> None:
        if self._process is not None:
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
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    raise RuntimeError(self._log.read_text()[-2000:]) from None
                time.sleep(0.05)


def _has_ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie: proc_pid_stat(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True

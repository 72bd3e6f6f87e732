"""Databases and servers of a benchmark's own, cleared away when it ends."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

ROOT, PYTHON = Path(__file__).resolve().parent.parent, sys.executable
GUNICORN = str(Path(PYTHON).with_name("gunicorn"))
PROCESSES = "2"


@dataclass(frozen=True)
class Server:
    """Processes that answer on a port; database: its URL, None on SQLite; table: where its actions are."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    database: str | None
    table: str = "logs_action"
    key: str | None = None

    def call(self, method: str, path: str, content: object = None) -> tuple[int, Any]:
        """Return the status and the answer, decoded if it is JSON; content: the body before it is JSON."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if content is None else json.dumps(content), headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(answer) if is_json else answer[:300]


@dataclass(frozen=True)
class Workspace:
    """Where a benchmark's databases, processes and files are; all of them go when the stack closes.

    database_url: names a PostgreSQL server.
    """

    stack: ExitStack
    folder: Path
    database_url: str

    def new_database(self, name: str, template: str | None = None) -> str:
        """Make a database and return its URL, in place of an earlier one of that name; template: URL of one to copy."""
        # By the name in DATABASE_URL, so that two benchmarks at a time have their own.
        database = f'"{_name_of(self.database_url)}_benchmark_{name}"'
        drop = partial(query, self.database_url, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        drop()
        source = "template1" if template is None else f'"{_name_of(template)}"'
        query(self.database_url, f"CREATE DATABASE {database} TEMPLATE {source}")
        self.stack.callback(drop)
        return urlsplit(self.database_url)._replace(path="/" + database.strip('"')).geturl()

    def spawn(self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context(self._log(name).open("wb"))
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
        )
        self.stack.callback(_stop, process)
        return process

    def wait_for(self, server: Server) -> None:
        """Wait until a server answers; exit, with the end of its log, if it does not."""
        deadline = time.monotonic() + 60
        while not _answers(server):
            if time.monotonic() > deadline or server.process.poll() is not None:
                sys.exit(f"{server.name} did not start:\n{self._log(server.name).read_text()[-3000:]}")
            time.sleep(0.1)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def workspace(*programs: str) -> Iterator[Workspace]:
    """Make a workspace on the PostgreSQL server of DATABASE_URL; exit if there is none, or a program is missing."""
    if missing := [program for program in programs if not shutil.which(program)]:
        sys.exit(f"The benchmark needs {' and '.join(missing)}: is it installed?")
    url = os.environ.get("DATABASE_URL", "")
    if urlsplit(url).scheme not in ("postgres", "postgresql"):
        sys.exit("The benchmark needs PostgreSQL: set DATABASE_URL.")
    # So that a stop clears away what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="logstore-benchmark-"))
        print(f"Load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; much of it, and ratios err.")
        yield Workspace(stack, Path(folder), url)
        print(f"Load average after: {os.getloadavg()[0]:.1f}.")


def environment(database: str) -> dict[str, str]:
    """Return what the store's own programs need to know to work on a database, named by its URL."""
    return {"DATABASE_URL": database, "SECRET_KEY": secrets.token_urlsafe(48), "DEBUG": "false"}


def manage(database: str, *arguments: str) -> str:
    """Return what a command of manage.py prints; exit if it fails."""
    return run([PYTHON, "manage.py", *arguments], ROOT, environment(database))


def start_store(workspace: Workspace, name: str, database: str, auth: str = "open") -> Server:
    """Start the store on a database, named by its URL, whose tables are made if there are none."""
    port = free_port()
    manage(database, "migrate", "--verbosity", "0")
    key = manage(database, "createapikey", name, "--scope", "both").split()[-1] if auth == "keys" else None
    env = {**environment(database), "PORT": str(port), "WEB_CONCURRENCY": PROCESSES, "LOGSTORE_AUTH": auth}
    command = [GUNICORN, "-c", "python:logstore_project.gunicorn_conf", "logstore_project.wsgi"]
    process = workspace.spawn(name, command, ROOT, env)
    return Server(name, port, process, None if database.startswith("sqlite") else database, key=key)


def run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what a program prints; exit if it fails."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:300]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def query(database: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that is run by itself; database: its URL."""
    connection = psycopg2.connect(database)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _name_of(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


def _answers(server: Server) -> bool:
    try:
        return server.call("GET", "/logs/?userId=nobody")[0] == 200
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue

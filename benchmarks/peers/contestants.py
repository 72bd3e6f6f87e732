"""How each contestant of the HTTP benchmark is started, on a database of its own: a small function for each."""

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
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from benchmarks.peers import contract

PEERS = Path(__file__).resolve().parent
ROOT, PYTHON = PEERS.parent.parent, sys.executable
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


@dataclass
class Contestants:
    """The servers of one run; what they leave behind is cleared away when the stack closes.

    folder: for their log files; database_url: names a PostgreSQL server.
    """

    stack: ExitStack
    folder: Path
    database_url: str
    servers: dict[str, Server | None] = field(default_factory=dict)

    def get(self, name: str) -> Server | None:
        """Return a contestant that answers right, started when first asked for; None if it can't take part."""
        if name not in self.servers:
            self.servers[name] = server = STARTS[name](self, name)
            if server:
                self._prepare(server)
        return self.servers[name]

    def new_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        database = f"benchmark_{name}"
        drop = partial(query, self.database_url, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        drop()
        query(self.database_url, f"CREATE DATABASE {database}")
        self.stack.callback(drop)
        return urlsplit(self.database_url)._replace(path=f"/{database}").geturl()

    def spawn(self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context(self._log(name).open("wb"))
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
        )
        self.stack.callback(_stop, process)
        return process

    def _prepare(self, server: Server) -> None:
        deadline = time.monotonic() + 60
        while not _answers(server):
            if time.monotonic() > deadline or server.process.poll() is not None:
                sys.exit(f"{server.name} did not start:\n{self._log(server.name).read_text()[-3000:]}")
            time.sleep(0.1)
        # The one that asks for a key shares its tables with one that doesn't, which has seen to all this.
        if not server.key:
            try:
                contract.check(server.call, with_rules=server.name != "stock")
                contract.fill(server.call)
            except contract.WrongAnswerError as error:
                sys.exit(f"{server.name} answers wrong: {error}")
        if server.database:
            query(server.database, "VACUUM ANALYZE")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _store(contestants: Contestants, name: str, database: str | None = None, auth: str = "open") -> Server:
    port, database = _free_port(), database or contestants.new_database(name)
    env = {
        "DATABASE_URL": database,
        "PORT": str(port),
        "WEB_CONCURRENCY": PROCESSES,
        "LOGSTORE_AUTH": auth,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DEBUG": "false",
    }
    manage = [PYTHON, "manage.py"]
    run([*manage, "migrate", "--verbosity", "0"], ROOT, env)
    key = run([*manage, "createapikey", name, "--scope", "both"], ROOT, env).split()[-1] if auth == "keys" else None
    command = [GUNICORN, "-c", "python:logstore_project.gunicorn_conf", "logstore_project.wsgi"]
    process = contestants.spawn(name, command, ROOT, env)
    return Server(name, port, process, None if database.startswith("sqlite") else database, key=key)


def _store_with_keys(contestants: Contestants, name: str) -> Server:
    # On the tables of the store without: only the key makes a difference.
    store = contestants.get("store")
    return _store(contestants, name, store.database if store else None, auth="keys")


def _store_on_sqlite(contestants: Contestants, name: str) -> Server:
    return _store(contestants, name, f"sqlite:///{contestants.folder / 'store.sqlite3'}")


def _fastapi(contestants: Contestants, name: str) -> Server:
    folder = PEERS / "fastapi"
    venv, pins = folder / ".venv", folder / "requirements.txt"
    if _is_stale(venv / "ready", pins):
        run([PYTHON, "-m", "venv", "--clear", str(venv)], folder)
        run([f"{venv}/bin/pip", "install", "--quiet", "--requirement", str(pins)], folder)
        (venv / "ready").touch()
    port, database = _free_port(), _peer_database(contestants, name)
    command = [f"{venv}/bin/uvicorn", "app:app", "--port", str(port), "--workers", PROCESSES, "--no-access-log"]
    command += ["--loop", "uvloop", "--http", "httptools"]
    process = contestants.spawn(name, command, folder, {"DATABASE_URL": database})
    return Server(name, port, process, database, "action")


def _fastify(contestants: Contestants, name: str) -> Server | None:
    folder = PEERS / "fastify"
    if not (shutil.which("node") and shutil.which("npm")):
        print("fastify is left out: there is no node, or no npm.")
        return None
    if _is_stale(folder / "node_modules/.package-lock.json", folder / "package-lock.json"):
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    port, database = _free_port(), _peer_database(contestants, name)
    env = {"DATABASE_URL": database, "PORT": str(port), "PROCESSES": PROCESSES, "NODE_ENV": "production"}
    return Server(name, port, contestants.spawn(name, ["node", "server.js"], folder, env), database, "action")


def _stock(contestants: Contestants, name: str) -> Server:
    port, database = _free_port(), contestants.new_database(name)
    settings = {"DJANGO_SETTINGS_MODULE": "benchmarks.stock.settings", "SECRET_KEY": secrets.token_urlsafe(48)}
    env = {"DATABASE_URL": database, **settings}
    run([PYTHON, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"], ROOT, env)
    command = [GUNICORN, "-w", PROCESSES, "-b", f"127.0.0.1:{port}"]
    process = contestants.spawn(name, [*command, "django.core.wsgi:get_wsgi_application()"], ROOT, env)
    return Server(name, port, process, database, "stock_stockaction")


STARTS: dict[str, Callable[[Contestants, str], Server | None]] = {
    "store": _store,
    "fastapi": _fastapi,
    "fastify": _fastify,
    "stock": _stock,
    "key": _store_with_keys,
    "sqlite": _store_on_sqlite,
}


def run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what a program prints; exit if it fails."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
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


def _peer_database(contestants: Contestants, name: str) -> str:
    database = contestants.new_database(name)
    query(database, (PEERS / "schema.sql").read_text())
    return database


def _is_stale(made: Path, source: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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

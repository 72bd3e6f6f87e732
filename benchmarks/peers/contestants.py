"""How each contestant of the HTTP benchmark is started, on a database of its own: a small function for each."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import contract
from benchmarks.servers import (
    GUNICORN,
    PROCESSES,
    PYTHON,
    ROOT,
    Server,
    Workspace,
    free_port,
    query,
    run,
    start_store,
)

PEERS = Path(__file__).resolve().parent


@dataclass
class Contestants:
    """The servers of one run."""

    workspace: Workspace
    servers: dict[str, Server | None] = field(default_factory=dict)

    def get(self, name: str) -> Server | None:
        """Return a contestant that answers right, started when first asked for; None if it can't take part."""
        if name not in self.servers:
            self.servers[name] = server = STARTS[name](self, name)
            if server:
                self._prepare(server)
        return self.servers[name]

    def _prepare(self, server: Server) -> None:
        self.workspace.wait_for(server)
        # The one that asks for a key shares its tables with one that doesn't, which has seen to all this.
        if not server.key:
            try:
                contract.check(server.call, with_rules=server.name != "stock")
                contract.fill(server.call)
            except contract.WrongAnswerError as error:
                sys.exit(f"{server.name} answers wrong: {error}")
        if server.database:
            query(server.database, "VACUUM ANALYZE")


def _store(contestants: Contestants, name: str) -> Server:
    return start_store(contestants.workspace, name, contestants.workspace.new_database(name))


def _store_with_keys(contestants: Contestants, name: str) -> Server:
    # On the tables of the store without: only the key makes a difference.
    store = contestants.get("store")
    database = store.database if store else None
    return start_store(contestants.workspace, name, database or contestants.workspace.new_database(name), auth="keys")


def _store_on_sqlite(contestants: Contestants, name: str) -> Server:
    return start_store(contestants.workspace, name, f"sqlite:///{contestants.workspace.folder / 'store.sqlite3'}")


def _fastapi(contestants: Contestants, name: str) -> Server:
    folder = PEERS / "fastapi"
    venv, pins = folder / ".venv", folder / "requirements.txt"
    if _is_stale(venv / "ready", pins):
        run([PYTHON, "-m", "venv", "--clear", str(venv)], folder)
        run([f"{venv}/bin/pip", "install", "--quiet", "--requirement", str(pins)], folder)
        (venv / "ready").touch()
    port, database = free_port(), _peer_database(contestants, name)
    command = [f"{venv}/bin/uvicorn", "app:app", "--port", str(port), "--workers", PROCESSES, "--no-access-log"]
    command += ["--loop", "uvloop", "--http", "httptools"]
    process = contestants.workspace.spawn(name, command, folder, {"DATABASE_URL": database})
    return Server(name, port, process, database, "action")


def _fastify(contestants: Contestants, name: str) -> Server | None:
    folder = PEERS / "fastify"
    if not (shutil.which("node") and shutil.which("npm")):
        print("fastify is left out: there is no node, or no npm.")
        return None
    if _is_stale(folder / "node_modules/.package-lock.json", folder / "package-lock.json"):
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    port, database = free_port(), _peer_database(contestants, name)
    env = {"DATABASE_URL": database, "PORT": str(port), "PROCESSES": PROCESSES, "NODE_ENV": "production"}
    return Server(name, port, contestants.workspace.spawn(name, ["node", "server.js"], folder, env), database, "action")


def _stock(contestants: Contestants, name: str) -> Server:
    port, database = free_port(), contestants.workspace.new_database(name)
    settings = {"DJANGO_SETTINGS_MODULE": "benchmarks.stock.settings", "SECRET_KEY": secrets.token_urlsafe(48)}
    env = {"DATABASE_URL": database, **settings}
    run([PYTHON, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"], ROOT, env)
    command = [GUNICORN, "-w", PROCESSES, "-b", f"127.0.0.1:{port}"]
    process = contestants.workspace.spawn(name, [*command, "django.core.wsgi:get_wsgi_application()"], ROOT, env)
    return Server(name, port, process, database, "stock_stockaction")


STARTS: dict[str, Callable[[Contestants, str], Server | None]] = {
    "store": _store,
    "fastapi": _fastapi,
    "fastify": _fastify,
    "stock": _stock,
    "key": _store_with_keys,
    "sqlite": _store_on_sqlite,
}


def _peer_database(contestants: Contestants, name: str) -> str:
    database = contestants.workspace.new_database(name)
    query(database, (PEERS / "schema.sql").read_text())
    return database


def _is_stale(made: Path, source: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime

"""The maintenance commands as an operator starts them: processes with a database of their own."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from tests import citus
from tests.server import database_url

ROOT = Path(__file__).resolve().parent.parent

# Chunks and batches so small that a test's data are many of them.
_SMALL_STEPS = """
import sys
import django
django.setup()
from logs.transfer import importing
from logs.store import deletion
importing.CHUNK_BYTES = 20_000
deletion.BATCH_ACTIONS = 200
deletion._PAUSE_SECONDS = 0
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""
# Before or after the statement that the environment tells the number of.
_KILLED = """
import os
import signal
from django.db import connection
left = int(os.environ["STATEMENTS"])
def count(execute, *arguments):
    global left
    left -= 1
    if left == 0 and os.environ["KILL"] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = execute(*arguments)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
connection.execute_wrappers.append(count)
"""


class CommandLine:
    """manage.py beside a database of its own."""

    def __init__(self, url: str) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SECRET_KEY": settings.SECRET_KEY,
            "DJANGO_SETTINGS_MODULE": "logstore_project.settings",
        }

    def run(self, *arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def succeed(self, *arguments: object, stdin: bytes = b"") -> str:
        """Run a command that must succeed, and return its stdout."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def start_in_small_steps(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command that goes on in small chunks and batches."""
        return subprocess.Popen(
            [sys.executable, "-c", _SMALL_STEPS, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def interrupt_at_random(self, signal_number: signal.Signals, *arguments: object) -> int:
        """Start a command in small steps, send it a signal at a random moment, and return its exit code."""
        with self.start_in_small_steps(*arguments) as process:
            time.sleep(random.uniform(0.3, 0.9))
            process.send_signal(signal_number)
            process.communicate(timeout=60)
        return process.returncode

    def kill_in_mid_batch(self, statements: int, *arguments: object) -> bool:
        """Start a command in small steps, kill it right before or after a statement, and return whether it got so far.

        statements: the number of that statement.
        """
        kill = {"STATEMENTS": str(statements), "KILL": random.choice(["before", "after"])}
        done = subprocess.run(
            [sys.executable, "-c", f"{_KILLED}{_SMALL_STEPS}", *map(str, arguments)],
            cwd=ROOT,
            env={**self.environment, **kill},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        return done.returncode != 0

    def finish_in_small_steps(self, *arguments: object) -> str:
        with self.start_in_small_steps(*arguments) as process:
            stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr.decode()
        return stdout.decode()

    def export(self) -> bytes:
        return self.run("exportlogs").stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        with closing(self._connect()) as database:
            cursor = database.cursor()
            cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else []
            database.commit()
            return rows

    def tables(self) -> list[str]:
        listing = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        }
        return [name for (name,) in self.query(listing[connection.vendor])]

    def _connect(self) -> Any:
        url = self.environment["DATABASE_URL"]
        if url.startswith("sqlite"):
            return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)
        return psycopg2.connect(url)


def administer(*statements: str) -> None:
    """Run statements on the tests' PostgreSQL server, each by itself."""
    with closing(psycopg2.connect(database_url("postgres"))) as session:
        session.autocommit = True
        for statement in statements:
            session.cursor().execute(statement)


@contextmanager
def new_database(folder: Path, name: str) -> Iterator[str]:
    """Make a database without tables, of the kind that the tests run on, and yield its URL."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / f'{name}.sqlite3'}"
        return
    full_name = f"{connection.settings_dict['NAME']}_{name}"
    drop = f'DROP DATABASE IF EXISTS "{full_name}" WITH (FORCE)'
    administer(drop, f'CREATE DATABASE "{full_name}"')
    if citus.URL:
        citus.make_cluster(full_name)
    yield database_url(full_name)
    administer(drop)
    if citus.URL:
        citus.drop_namesakes(full_name)


@contextmanager
def migrated_database(folder: Path) -> Iterator[str]:
    """Make a database with tables, of the kind that the tests run on, and yield its URL."""
    with new_database(folder, "commands") as url:
        line = CommandLine(url)
        line.succeed("migrate", "--verbosity", "0")
        if citus.URL:
            line.succeed("distribute", "--shards", citus.SHARDS)
        yield url


def empty_database(url: str, folder: Path) -> CommandLine:
    """Return a command line beside an empty store, made from a migrated database."""
    if connection.vendor == "sqlite":
        copy = folder / "store.sqlite3"
        shutil.copy(url.removeprefix("sqlite:///"), copy)
        return CommandLine(f"sqlite:///{copy}")
    line = CommandLine(url)
    line.query(
        "TRUNCATE logs_action, logs_log, logs_eraseduser, logs_accessrecord, django_admin_log, auth_user CASCADE"
    )
    return line


def findings(*options: str) -> tuple[list[str], bool]:
    """Return the lines of a verifylogs in this process, and whether it failed, as it does if a finding is left."""
    stdout, has_failed = io.StringIO(), False
    try:
        call_command("verifylogs", *options, stdout=stdout, stderr=io.StringIO())
    except CommandError:
        has_failed = True
    return stdout.getvalue().splitlines()[:-1], has_failed

"""What each backup holds after it was restored, whoever writes meanwhile; and migrations back and forth."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from logs.store.read import ROWS_AT_ONCE
from tests.builders import a_click, a_key, a_log, a_view, as_lines, bearer
from tests.citus import skip_on_citus
from tests.cluster import skip_or_fail
from tests.commandline import CommandLine, new_database
from tests.load import ACTIONS_IN_A_BATCH, Load
from tests.server import PROJECT, Server, database_url

GUIDE = PROJECT / "docs" / "how-to" / "back-up-and-restore.md"
PASSWORD = "of-the-operator"
# Longer than what is answered from memory, so that its ETag is made of versions.
LONG = [a_log(*[a_view()] * (ROWS_AT_ONCE // 2 + 1), user="long", session=session) for session in ("1", "2")]
BATCH = [a_log(user="repeated")]

Databases = Callable[[], str]


@pytest.fixture
def empty_databases(tmp_path: Path) -> Iterator[Databases]:
    """Make databases without tables, and return the URL of each."""
    names = map(str, itertools.count())
    with ExitStack() as stack:
        yield lambda: stack.enter_context(new_database(tmp_path, next(names)))


def by_export(folder: Path, empty_databases: Databases) -> str:
    """Back the tests' database up by exportlogs, restore that, and return the URL of the new database."""
    file = folder / "logs.ndjson.gz"
    CommandLine(database_url()).succeed("exportlogs", "-o", file)
    new = CommandLine(empty_databases())
    new.succeed("migrate", "--verbosity", "0")
    new.succeed("importlogs", file)
    return new.environment["DATABASE_URL"]


def by_pg_dump(folder: Path, empty_databases: Databases) -> str:
    file, new = folder / "logstore.dump", empty_databases()
    run("pg_dump", "--format=custom", f"--file={file}", database_url())
    run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={new}", file)
    return new


def by_vacuum_into(folder: Path, empty_databases: Databases) -> str:
    return _by_sqlite(folder, empty_databases, "VACUUM INTO '{}'")


def by_online_backup(folder: Path, empty_databases: Databases) -> str:
    return _by_sqlite(folder, empty_databases, ".backup '{}'")


def _by_sqlite(folder: Path, empty_databases: Databases, command: str) -> str:
    file, new = folder / "copy.sqlite3", empty_databases()
    run("sqlite3", connection.settings_dict["NAME"], command.format(file))
    shutil.copy(file, new.removeprefix("sqlite:///"))
    return new


def run(program: str, *arguments: object) -> str:
    if shutil.which(program) is None:
        skip_or_fail(f"{program} is not installed")
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


# Each way with its column of the guide's table, and the database that it is of.
BACKUPS = [
    pytest.param(by_export, "export", None, id="export"),
    pytest.param(by_pg_dump, "`pg_dump`", "postgresql", id="pg_dump"),
    pytest.param(by_vacuum_into, "SQLite's copy", "sqlite", id="vacuum-into"),
    pytest.param(by_online_backup, "SQLite's copy", "sqlite", id="online-backup"),
]


def need(vendor: str | None) -> None:
    if vendor not in (None, connection.vendor):
        pytest.skip(f"a backup of {vendor}: runs with the tests on that")


def column_of_the_guide(name: str) -> dict[str, bool]:
    """What the table of the guide says that one kind of backup holds."""
    rows = [line.strip("| ").split(" | ") for line in GUIDE.read_text().splitlines() if line.startswith("| ")]
    head, *body = rows
    # The first cell of the head is empty.
    return {row[0]: {"yes": True, "no": False}[row[1 + head.index(name)]] for row in body}


@pytest.mark.parametrize("restore, column, vendor", BACKUPS)
def test_a_backup_holds_what_the_guide_says(restore, column, vendor, transactional_db, tmp_path, empty_databases):
    need(vendor)
    _, key = a_key()
    imported = tmp_path / "imported.ndjson"
    imported.write_bytes(as_lines(*LONG))
    here = CommandLine(database_url())
    here.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    here.succeed("createsuperuser", "--no-input", "--username", "operator", "--email", "")
    with Server(tmp_path / "here.log", LOGSTORE_AUTH="keys") as server:
        # The logs that stay get ids that do not begin with 1, and versions of more than 1.
        assert server.post([a_log(user="purged")], bearer(key)).status == 200
        here.succeed("purgelogs", "--user", "purged", "--yes")
        here.succeed("importlogs", imported)
        assert server.post([a_log(a_click(x=1.10), user="long", session="1")], bearer(key)).status == 200
        assert server.post(BATCH, bearer(key) | {"Idempotency-Key": "one"}).status == 200
        here.succeed("prepareinsights")
        expected = server.request("GET", "/logs/", headers=bearer(key))
        expected_etag = server.request("GET", "/logs/?userId=long", headers=bearer(key)).headers["ETag"]

    there = CommandLine(restore(tmp_path, empty_databases))
    there.succeed("verifylogs")
    new_key = there.succeed("createapikey", "another", "--scope", "both").split()[-1]
    with Server(tmp_path / "there.log", LOGSTORE_AUTH="keys", DATABASE_URL=there.environment["DATABASE_URL"]) as server:
        answer = server.request("GET", "/logs/", headers=bearer(new_key))
        etag = server.request("GET", "/logs/?userId=long", headers=bearer(new_key)).headers["ETag"]
        holds_keys = server.request("GET", "/logs/", headers=bearer(key)).status == 200
        repeated = server.post(BATCH, bearer(key if holds_keys else new_key) | {"Idempotency-Key": "one"}).json()
        may_log_in = log_in(server)
    held = {
        "logs and actions": answer.content == expected.content,
        "ids, versions, and so the ETags of long answers": etag == expected_etag,
        "API keys": holds_keys,
        "users of the admin": may_log_in,
        "idempotency keys": repeated["stored"] == 0,
        "rollups of Insights": there.query("SELECT count(*) FROM logs_rolledupday") != [(0,)],
    }
    assert len(expected.content) > 100_000
    assert held == column_of_the_guide(column)


def log_in(server: Server) -> bool:
    """Whether the operator can log in to the admin."""
    with requests.Session() as session:
        url = f"http://127.0.0.1:{server.port}/admin/login/?next=/admin/"
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(url, timeout=30).text)
        form = {"csrfmiddlewaretoken": token[1], "username": "operator", "password": PASSWORD}
        answer = session.post(url, form, headers={"Referer": url}, timeout=30, allow_redirects=False)
    return answer.status_code == 302


@pytest.mark.parametrize("restore, column, vendor", BACKUPS)
def test_a_backup_that_is_taken_while_others_write_holds_whole_batches(
    restore, column, vendor, transactional_db, tmp_path, empty_databases
):
    need(vendor)
    skip_on_citus("needs one snapshot of all machines")
    with Server(tmp_path / "log") as server, Load(server, clients=2) as load:
        load.acknowledges_more(10)
        before = set(load.acknowledged)
        there = CommandLine(restore(tmp_path, empty_databases))
        load.acknowledges_more(1)
    half = ACTIONS_IN_A_BATCH // 2
    counts = dict(there.query("SELECT user_id, click_count FROM logs_log WHERE session_id = 'own'"))
    assert before <= set(counts)
    assert set(counts.values()) == {half}
    assert there.query("SELECT view_count FROM logs_log WHERE session_id = 'shared'") == [(half * len(counts),)]
    there.succeed("verifylogs")


def test_migrations_go_forth_and_all_the_way_back_and_forth(transactional_db, empty_databases):
    line = CommandLine(empty_databases())
    line.succeed("migrate", "--verbosity", "0")
    first_schema = schema(line)
    line.succeed("importlogs", "-", stdin=as_lines(*BATCH))
    for app in sorted({app for app, _ in MigrationLoader(None).graph.nodes}):
        line.succeed("migrate", "--verbosity", "0", app, "zero")
    assert [name for name in line.tables() if not name.startswith("sqlite_")] == ["django_migrations"]
    line.succeed("migrate", "--verbosity", "0")
    assert schema(line) == first_schema
    assert line.export() == b""
    line.succeed("importlogs", "-", stdin=as_lines(*BATCH))
    assert line.export() == as_lines(*BATCH)
    line.succeed("verifylogs")


def test_logs_and_keys_outlive_the_way_back_to_the_first_migrations_and_forth(transactional_db, empty_databases):
    line = CommandLine(empty_databases())
    line.succeed("migrate", "--verbosity", "0")
    line.succeed("importlogs", "-", stdin=as_lines(*LONG))
    line.succeed("createapikey", "Web shop", "--scope", "both")
    keys = line.succeed("listapikeys")
    for app in ("logs", "access"):
        line.succeed("migrate", "--verbosity", "0", app, "0001")
    line.succeed("migrate", "--verbosity", "0")
    # Nobody knows any more, and a migration must not make it up.
    assert line.query("SELECT count(*) FROM logs_action WHERE received_at IS NOT NULL") == [(0,)]
    assert line.export() == as_lines(*LONG)
    assert line.succeed("listapikeys") == keys
    line.succeed("verifylogs")


def schema(line: CommandLine) -> list[str]:
    """The tables, indexes and constraints of a database, as it describes them itself."""
    if connection.vendor == "sqlite":
        return sorted(sql for (sql,) in line.query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    dump = run("pg_dump", "--schema-only", line.environment["DATABASE_URL"])
    # Its \restrict has another word each time.
    return [text for text in dump.splitlines() if not text.startswith("\\")]

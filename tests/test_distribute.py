"""The command `distribute`: a store becomes one that is spread over the workers of a Citus cluster, in place."""

from __future__ import annotations

import psycopg2
import pytest
from django.core.management import CommandError
from django.db import connection

from logs.models import Action, Log
from tests.builders import a_click, a_log, a_view, as_lines
from tests.citus import SHARDS, need_citus
from tests.commandline import CommandLine, new_database

DISTRIBUTED = "SELECT table_name::text, distribution_column, shard_count FROM citus_tables ORDER BY 1"


@pytest.fixture
def store(transactional_db, tmp_path):
    """A store on a cluster that is not distributed yet."""
    need_citus()
    with new_database(tmp_path, "undistributed") as url:
        line = CommandLine(url)
        line.succeed("migrate", "--verbosity", "0")
        yield line


@pytest.fixture
def full_store(store, file):
    store.succeed("importlogs", file(as_lines(*(a_log(a_click(), a_view(), user=f"user-{n}") for n in range(50)))))
    return store


def test_a_store_on_sqlite_says_that_it_can_not(transactional_db, command):
    if connection.vendor != "sqlite":
        pytest.skip("is about SQLite")

    with pytest.raises(CommandError, match=r"^This store is on SQLite; .*\nNothing was changed\.$"):
        command("distribute")


def test_a_plain_postgresql_says_that_it_can_not(db, command, monkeypatch):
    if connection.vendor != "postgresql" or _has_citus():
        pytest.skip("is about PostgreSQL without Citus")

    with pytest.raises(CommandError, match=r"^This (PostgreSQL|database) [^\n]*\.\nNothing was changed\.$"):
        command("distribute")


def test_an_empty_store_is_distributed_by_user_into_the_shards_asked_for(store):
    said = store.succeed("distribute", "--shards", SHARDS)

    assert said.endswith("Distributed: logs and actions are spread over the workers.\n")
    assert store.query(DISTRIBUTED) == [("logs_action", "user_id", SHARDS), ("logs_log", "user_id", SHARDS)]


def test_a_full_store_holds_the_same_when_it_is_distributed(full_store):
    before = full_store.export()

    full_store.succeed("distribute", "--shards", SHARDS)

    assert before.count(b"\n") == 50
    assert full_store.export() == before
    assert full_store.query(_ROWS_BY_NODE) == [(50, 100)]
    assert full_store.query("SELECT pg_relation_size('logs_log') + pg_relation_size('logs_action')") == [(0,)]


def test_what_is_stored_after_the_move_is_dealt_higher_ids(full_store, file):
    [(before,)] = full_store.query("SELECT max(id) FROM logs_action")
    full_store.succeed("distribute", "--shards", SHARDS)

    full_store.succeed("importlogs", file(as_lines(a_log(user="new"))))

    assert full_store.query("SELECT min(id), max(id) FROM logs_action WHERE user_id = 'new'") == [
        (before + 1, before + 3)
    ]


def test_an_action_without_its_log_is_refused_by_the_cluster(full_store):
    full_store.succeed("distribute", "--shards", SHARDS)

    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        full_store.query("UPDATE logs_action SET log_id = 0 WHERE user_id = 'user-1'")


def test_run_again_it_finds_nothing_to_do(full_store):
    full_store.succeed("distribute", "--shards", SHARDS)

    again = full_store.succeed("distribute", "--shards", SHARDS)

    assert again == "Nothing to do: logs and actions are distributed already.\n"


def test_a_dry_run_prints_what_a_run_does_and_does_nothing(full_store):
    foretold = full_store.succeed("distribute", "--shards", SHARDS, "--dry-run")

    assert full_store.query(DISTRIBUTED) == []
    done = full_store.succeed("distribute", "--shards", SHARDS)
    assert done == f"{foretold}Distributed: logs and actions are spread over the workers.\n"


@pytest.mark.parametrize(
    "preparation, reason",
    [
        ("DROP EXTENSION citus", b"This database lacks the extension: run CREATE EXTENSION citus"),
        ("SELECT citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE groupid <> 0", b"There are no workers:"),
    ],
    ids=["extension", "workers"],
)
def test_what_is_missing_is_said_and_nothing_is_changed(full_store, preparation, reason):
    full_store.query(preparation)

    refused = full_store.run("distribute")

    assert refused.returncode == 1
    assert reason in refused.stderr
    assert refused.stderr.endswith(b"Nothing was changed.\n")
    assert full_store.query(_KEY) == [("PRIMARY KEY (id)",)]


def test_only_the_owner_of_the_tables_may_distribute_them(full_store):
    full_store.environment["DATABASE_URL"] += "?options=-c%20role%3Dpg_monitor"

    refused = full_store.run("distribute")

    assert refused.returncode == 1
    assert b"The role has no right to distribute logs_log: its owner is " in refused.stderr
    assert refused.stderr.endswith(b"Nothing was changed.\n")


def test_later_migrations_change_a_distributed_store_and_are_taken_back(full_store):
    full_store.succeed("distribute", "--shards", SHARDS)
    full_store.succeed("migrate", "logs", "0002", "--verbosity", "0")
    full_store.succeed("migrate", "--verbosity", "0")

    assert full_store.query("SELECT count(*), count(received_at) FROM logs_action") == [(100, 0)]


def test_the_models_tables_are_those_that_are_distributed(db):
    need_citus()

    assert Log.objects.count() == Action.objects.count() == 0
    with connection.cursor() as cursor:
        cursor.execute(DISTRIBUTED)
        assert [name for name, *_ in cursor.fetchall()] == [Action._meta.db_table, Log._meta.db_table]


def _has_citus():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_extension WHERE extname = 'citus'")
        return cursor.fetchone() != (0,)


_KEY = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'logs_log_pkey'"
_ROWS_BY_NODE = "SELECT (SELECT count(*) FROM logs_log), (SELECT count(*) FROM logs_action)"

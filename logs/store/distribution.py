"""A store that is spread over machines by user_id, with PostgreSQL's extension Citus: how it comes to be so.

Logs and actions are cut into shards by a hash of user_id; those of a user lie on the same machine, a log beside its
actions. Every other table stays where the application connects to, on the coordinator.
https://docs.citusdata.com/en/stable/develop/api_udf.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection, transaction

from logs.lib.transactions import retried
from logs.models import Action, Log
from logs.store import erasures

_LOGS, _ACTIONS = _TABLES = [Log._meta.db_table, Action._meta.db_table]

# Citus's own default. A worker holds whole shards: it can't be spread over more workers than there are.
DEFAULT_SHARDS, MAX_SHARDS = 32, 64_000

# In seconds: for so long a worker may fall silent before it counts as away.
_PATIENCE = 2

# Of each connection to PostgreSQL: once a store is spread, its connections end and begin again within minutes.
_distributed: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


class NotDistributableError(Exception):
    """The tables can't be spread over machines, for reasons that an operator can do away with; nothing was changed.

    reasons: a sentence each.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = reasons
        super().__init__(" ".join(reasons))


@dataclass(frozen=True)
class Node:
    """A worker of the cluster, or the coordinator where that holds shards, too.

    shards: how many pairs of a shard of logs and one of actions it holds.
    size: bytes on its disk, 0 where it is away.
    """

    name: str
    is_away: bool
    shards: int
    size: int


def is_distributed() -> bool:
    """Return whether logs and actions are spread over machines; it is asked once for each connection.

    Raises django.db.Error when the database is away.
    """
    if connection.vendor != "postgresql":
        return False
    connection.ensure_connection()
    raw = connection.connection
    if raw not in _distributed:
        _distributed[raw] = len(_distributed_tables()) == len(_TABLES)
    return _distributed[raw]


def plan(shards: int) -> list[str]:
    """Return the statements that spread the tables over the workers, none where that is done already.

    shards: how many parts to cut each table into; only for tables that are not cut yet.
    Raises NotDistributableError, and django.db.Error when the database is away.
    """
    reasons = _find_obstacles()
    if reasons:
        raise NotDistributableError(reasons)
    return _statements(shards)


def distribute(shards: int) -> list[str]:
    """Spread the tables over the workers in one transaction, and return the statements that did it.

    Nobody reads or writes meanwhile. Rows that are there are copied to the workers. The argument and errors are
    plan()'s; what fails half-way leaves everything as it was.
    """

    if not plan(shards):
        return []

    def work() -> list[str]:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            # Before anything is locked that a writer may hold while it waits for something else.
            erasures.wait_for_writers()
            statements = plan(shards)
            for statement in statements:
                cursor.execute(statement)
        return statements

    statements = retried(work)
    _distributed.pop(connection.connection, None)
    return statements


def nodes() -> list[Node]:
    """Return the workers of the cluster, as they are now; none where the store is not spread over machines.

    Raises django.db.Error when the coordinator is away.
    """
    if not is_distributed():
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL citus.node_connection_timeout = {_PATIENCE * 1000}")
        cursor.execute(_NODES, [_LOGS, _TABLES])
        return [Node(*row) for row in cursor.fetchall()]


def size_on_disk() -> int:
    """Return the bytes that logs and actions take on all workers with their indexes; of one that is away, none."""
    with connection.cursor() as cursor:
        # Not citus_total_relation_size(), which no transaction that has written may call.
        cursor.execute(_SIZE, [_TABLES])
        [(size,)] = cursor.fetchall()
        return int(size)


def _find_obstacles() -> list[str]:
    if connection.vendor != "postgresql":
        return ["This store is on SQLite; only one on PostgreSQL with the extension Citus can be distributed."]
    if not _rows("SELECT name FROM pg_available_extensions WHERE name = 'citus'"):
        return ["This PostgreSQL has no Citus: only one with that extension can be distributed."]
    if not _rows("SELECT extname FROM pg_extension WHERE extname = 'citus'"):
        return [
            "This database lacks the extension: run CREATE EXTENSION citus in it, and in its namesake on each worker."
        ]
    if _rows("SELECT groupid FROM pg_dist_local_group WHERE groupid <> 0"):
        return ["This is a worker of a cluster: DATABASE_URL must name the coordinator."]
    reasons = [
        f"The role has no right to distribute {table}: its owner is {owner}."
        for table, owner in _rows(_OWNERS, _TABLES)
    ]
    workers = _rows(_PREPARED_TRANSACTIONS)
    if not workers:
        reasons.append("There are no workers: add each with SELECT citus_add_node('HOST', PORT) in this database.")
    for name, is_reached, answer in workers:
        if not is_reached:
            reasons.append(f"The worker {name} can't be used: {answer}.")
        elif answer == "0":
            reasons.append(f"The worker {name} has max_prepared_transactions = 0: no batch could be committed on it.")
    return reasons


def _statements(shards: int) -> list[str]:
    if len(_distributed_tables()) == len(_TABLES):
        return []
    is_full = any(size for (size,) in _rows(_SIZES, _TABLES))
    return [
        f"LOCK TABLE {_LOGS}, {_ACTIONS} IN ACCESS EXCLUSIVE MODE",
        f"ALTER TABLE {_ACTIONS} DROP CONSTRAINT action_belongs_to_log",
        # What is unique must hold the column that tells the machine. Each of the two keys takes the place and the name
        # of an index of the same columns, and an index on the id that of the key before: there are as many as there
        # were, and a later migration finds them by name.
        f"ALTER TABLE {_LOGS} DROP CONSTRAINT log_by_user, DROP CONSTRAINT {_LOGS}_pkey,"
        " ADD CONSTRAINT log_by_user PRIMARY KEY (user_id, id)",
        f"CREATE INDEX log_by_id ON {_LOGS} (id)",
        "DROP INDEX action_by_user",
        f"ALTER TABLE {_ACTIONS} DROP CONSTRAINT {_ACTIONS}_pkey,"
        " ADD CONSTRAINT action_by_user PRIMARY KEY (user_id, log_id, time, id)",
        f"CREATE INDEX action_by_id ON {_ACTIONS} (id)",
        f"SELECT create_distributed_table('{_LOGS}', 'user_id', shard_count => {shards:d}, colocate_with => 'none')",
        f"SELECT create_distributed_table('{_ACTIONS}', 'user_id', colocate_with => '{_LOGS}')",
        f"ALTER TABLE {_ACTIONS} ADD CONSTRAINT action_belongs_to_log"
        f" FOREIGN KEY (user_id, log_id) REFERENCES {_LOGS} (user_id, id)",
        # The rows were copied to the workers; those that are left on the coordinator are seen by nobody.
        *([f"SELECT truncate_local_data_after_distributing_table('{_LOGS}')"] if is_full else []),
    ]


def _distributed_tables() -> set[str]:
    if not _rows("SELECT extname FROM pg_extension WHERE extname = 'citus'"):
        return set()
    return {name for (name,) in _rows(_DISTRIBUTED, _TABLES)}


def _rows(sql: str, names: Sequence[str] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, None if names is None else [list(names)])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


_SIZE = """
    SELECT COALESCE(sum(result::bigint) FILTER (WHERE success), 0)
    FROM unnest(%s) AS name, run_command_on_shards(name::regclass, $$SELECT pg_total_relation_size('%%s')$$)
"""
_OWNERS = """
    SELECT relname, relowner::regrole::text FROM pg_class
    WHERE oid = ANY(%s::regclass[]) AND NOT pg_has_role(relowner, 'USAGE')
"""
_SIZES = "SELECT pg_relation_size(name::regclass) FROM unnest(%s) AS name"
_DISTRIBUTED = """
    SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
    WHERE logicalrelid = ANY(%s::regclass[]) AND partmethod = 'h'
"""
_PREPARED_TRANSACTIONS = """
    SELECT nodename || ':' || nodeport, success, result
    FROM run_command_on_workers('SHOW max_prepared_transactions') ORDER BY 1
"""
_NODES = """
    SELECT nodename || ':' || nodeport, NOT COALESCE(success, true), COALESCE(shards, 0), COALESCE(size, 0)::bigint
    FROM pg_dist_node
    LEFT JOIN run_command_on_workers('SELECT 1') AS answer USING (nodename, nodeport)
    LEFT JOIN (
        SELECT nodename, nodeport, count(*) FILTER (WHERE table_name = %s::regclass) AS shards, sum(shard_size) AS size
        FROM citus_shards WHERE table_name = ANY(%s::regclass[]) GROUP BY nodename, nodeport
    ) AS held USING (nodename, nodeport)
    WHERE isactive AND noderole = 'primary' AND (groupid <> 0 OR shards > 0)
    ORDER BY nodename, nodeport
"""

"""Databases of the tests on a Citus cluster: CITUS_URL names one of its coordinator's that knows the workers.

To Citus a cluster is a database with a namesake on each worker: so each of the tests' databases is made on every node.
"""

from __future__ import annotations

import os
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import pytest

URL = os.environ.get("CITUS_URL", "")
# As few as show that a table is cut, so that a test need not wait for more.
SHARDS = 4


def need_citus() -> None:
    """Skip a test that is about a cluster."""
    if not URL:
        pytest.skip("is about a Citus cluster: runs with CITUS_URL=postgres://… make test")


def skip_on_citus(reason: str) -> None:
    """Skip a test that does not hold on a cluster; reason: why, in a clause about the test."""
    if URL:
        pytest.skip(f"{reason}: does not run on Citus")


def make_cluster(name: str) -> None:
    """Make a database of the coordinator that is there already a cluster with the workers that CITUS_URL knows."""
    coordinator, *workers = _nodes()
    for host, port in workers:
        _execute(host, port, "postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
    for host, port in (coordinator, *workers):
        _execute(host, port, name, "CREATE EXTENSION IF NOT EXISTS citus")
    _execute(
        *coordinator,
        name,
        f"SELECT citus_set_coordinator_host('{coordinator[0]}', {coordinator[1]})",
        *(f"SELECT citus_add_node('{host}', {port})" for host, port in workers),
    )


def drop_namesakes(name: str) -> None:
    """Drop a database on the workers."""
    for host, port in _nodes()[1:]:
        _execute(host, port, "postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _nodes() -> list[tuple[str, int]]:
    """Return the coordinator and the workers."""
    with closing(psycopg2.connect(URL)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid <> 0, nodeid"
        )
        return list(cursor.fetchall())


def _execute(host: str, port: int, database: str, *statements: str) -> None:
    url = urlsplit(URL)
    with closing(
        psycopg2.connect(host=host, port=port, user=url.username, password=url.password, dbname=database)
    ) as session:
        session.autocommit = True
        for statement in statements:
            session.cursor().execute(statement)

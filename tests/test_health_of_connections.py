"""A connection is checked before each request without a query; PostgreSQL only."""

from __future__ import annotations

import time

import psycopg2
import pytest
from django.db import OperationalError, close_old_connections, connection

from tests.builders import stored_logs

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no server that could go away"),
]


def test_a_connection_that_waits_is_usable():
    connection.ensure_connection()
    assert connection.is_usable()


def test_a_connection_that_the_server_has_ended_is_not_usable(ended_connection):
    assert not connection.is_usable()


def test_a_request_after_the_server_has_ended_the_connection_gets_another(ended_connection):
    close_old_connections()  # what Django does before each request
    assert stored_logs() == 0


def test_a_server_that_is_too_old_is_refused_each_time(client, monkeypatch):
    connection.close()
    monkeypatch.setattr("django.db.backends.base.base.RAN_DB_VERSION_CHECK", set())
    monkeypatch.setattr(connection.features, "minimum_database_version", (99,))
    for _ in range(2):
        with pytest.raises(OperationalError, match="PostgreSQL 99 or later is required"):
            connection.ensure_connection()
        assert client.get("/logs/").status_code == 503


@pytest.fixture
def ended_connection():
    connection.ensure_connection()
    settings = {**connection.get_connection_params(), "cursor_factory": None}
    other = psycopg2.connect(**settings)
    other.autocommit = True
    other.cursor().execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    other.close()
    deadline = time.monotonic() + 5
    while connection.is_usable() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield
    connection.close()

"""The statement that stores a small batch is prepared once on each connection, and never on a pooler's."""

from __future__ import annotations

import pytest
from django.db import connection

from logs.lib import database
from tests.builders import some_logs, stored_actions

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server that would prepare anything"),
]


@pytest.fixture(autouse=True)
def new_connection():
    connection.close()
    yield
    connection.close()


def prepared_statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements ORDER BY prepare_time")
        return [statement for (statement,) in cursor.fetchall()]


def test_batches_of_any_size_share_one_prepared_statement(post):
    for count in (1, 2, 30):
        assert post(some_logs(count)).json()["stored"] == count
    assert stored_actions() == 33
    [statement] = prepared_statements()
    assert "INSERT INTO logs_action" in statement


def test_a_new_connection_prepares_it_anew(post):
    post(some_logs(1))
    connection.close()
    assert prepared_statements() == []
    assert post(some_logs(1)).status_code == 200
    assert len(prepared_statements()) == 1


def test_a_pooler_lends_another_connection_each_time_so_nothing_is_prepared(post, monkeypatch):
    monkeypatch.setattr(database, "is_pooled", lambda connection: True)
    assert post(some_logs(2)).json()["stored"] == 2
    assert prepared_statements() == []

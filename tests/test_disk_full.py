"""A disk without room: 503, nothing half done, and the store goes on when there is room again."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.builders import a_log, a_view, stored_actions, stored_logs
from tests.cluster import Cluster, resize
from tests.server import wait_until

pytest_plugins = ["tests.fault_fixtures"]

BIG_BATCH = [a_log(*[a_view(padding="x" * 1000)] * 1000)]


def test_a_full_disk_of_postgresql_is_answered_503_until_there_is_room(cluster_on_small_disk, small_disk, serve):
    server = serve(DATABASE_URL=cluster_on_small_disk.url)
    acknowledged, statuses = 0, []
    while 503 not in statuses:
        statuses.append(server.post(BIG_BATCH).status)
        acknowledged += 1000 * (statuses[-1] == 200)
    assert set(statuses) == {200, 503}
    resize(small_disk, 128)
    # PostgreSQL starts itself again where it could not even write its log of changes.
    wait_until(lambda: server.post([a_log()]).status == 200)
    assert _stored(cluster_on_small_disk) == acknowledged + 3


@pytest.mark.django_db(transaction=True)
def test_a_full_sqlite_file_is_answered_503_until_there_is_room(post):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's own limit on a file")
    post([a_log()])
    with connection.cursor() as cursor:
        # What other tests deleted would be room.
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 4}")
    answer = post(BIG_BATCH)
    connection.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
    assert (stored_logs(), stored_actions()) == (1, 3)
    assert post(BIG_BATCH).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_read_only_sqlite_file_is_answered_503(post, client):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's own switch")
    post([a_log()])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = on")
    answer = post([a_log()])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = off")
    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
    assert stored_actions() == 3


def _stored(cluster: Cluster) -> int:
    with cluster.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM logs_action")
        return cursor.fetchone()[0]

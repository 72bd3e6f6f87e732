"""What is acknowledged is kept and what fails leaves nothing behind, whoever is killed: PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg2.extensions import cursor

from tests.builders import a_click, a_log, a_view
from tests.cluster import Cluster
from tests.server import ACTIONS_IN_A_BATCH, Load, Server, wait_until

pytest_plugins = ["tests.fault_fixtures"]


def actions_by_batch(cluster: Cluster) -> Counter[str]:
    with cluster.cursor() as cursor:
        cursor.execute("SELECT properties ->> 'batch', count(*) FROM logs_action GROUP BY 1")
        return Counter(dict(cursor.fetchall()))


def assert_nothing_lost_nothing_partial(cluster: Cluster, load: Load) -> None:
    stored = actions_by_batch(cluster)
    assert load.acknowledged
    assert load.acknowledged <= set(stored) <= load.sent
    assert set(stored.values()) == {ACTIONS_IN_A_BATCH}
    with cluster.cursor() as cursor:
        cursor.execute("SELECT sum(click_count + view_count + navigate_count) FROM logs_log")
        assert cursor.fetchone()[0] == stored.total()


def acknowledges_more(load: Load, batches: int) -> None:
    enough = len(load.acknowledged) + batches
    wait_until(lambda: len(load.acknowledged) >= enough)


def test_a_killed_server_loses_no_acknowledged_batch(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    with Load(server) as load:
        acknowledges_more(load, 100)
        server.kill()
        server.start()
        acknowledges_more(load, 100)
    assert None in load.statuses
    assert_nothing_lost_nothing_partial(cluster, load)


def test_a_killed_database_is_answered_503_and_comes_back_by_itself(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    with Load(server) as load:
        acknowledges_more(load, 100)
        cluster.kill()
        wait_until(lambda: load.statuses.count(503) >= 8)
        status, headers, answer = server.request("GET", "/logs/?limit=1")
        cluster.start()
        acknowledges_more(load, 20)
    assert (status, answer["code"]) == (503, "STORE_UNAVAILABLE")
    assert int(headers["Retry-After"]) > 0
    assert set(load.statuses) == {200, 503}
    assert_nothing_lost_nothing_partial(cluster, load)


def test_batches_repeated_under_their_keys_are_stored_once_whatever_is_killed(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    with Load(server, with_keys=True) as load:
        acknowledges_more(load, 10)
        cluster.kill()
        cluster.start()
        acknowledges_more(load, 10)
        server.kill()
        server.start()
        acknowledges_more(load, 10)
    assert_nothing_lost_nothing_partial(cluster, load)


def test_a_commit_whose_answer_is_lost_is_not_repeated_under_its_key(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    batch, key = [a_log(a_click(batch="once"))], {"Idempotency-Key": "once"}
    # A commit that is on disk, but waits for a standby that never comes: there the test ends the connection.
    _switch(cluster, "synchronous_standby_names", "nobody")
    with ThreadPoolExecutor() as pool, cluster.cursor() as cursor:
        posted = pool.submit(server.post, batch, **key)
        wait_until(lambda: _ends_sessions_that_wait_for(cursor, "SyncRep"))
    _switch(cluster, "synchronous_standby_names", "''")
    status, _, answer = posted.result()
    assert (status, answer["code"]) == (503, "STORE_UNAVAILABLE")
    assert "Idempotency-Key" in answer["detail"]
    assert server.post(batch, **key)[2] == {"success": True, "stored": 0, "duplicates": 1}
    assert actions_by_batch(cluster) == {"once": 1}


def test_a_commit_that_broke_off_is_stored_by_a_repeat_under_its_key(cluster, serve):
    # A deferred trigger runs within COMMIT: there the test ends the connection.
    with cluster.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION end_connection() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER end_connection AFTER INSERT ON logs_idempotencykey
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_connection();
            """
        )
    server = serve(DATABASE_URL=cluster.url)
    batch, key = [a_log(a_click(batch="once"))], {"Idempotency-Key": "once"}
    status, _, answer = server.post(batch, **key)
    with cluster.cursor() as cursor:
        cursor.execute("DROP FUNCTION end_connection CASCADE")
    assert (status, answer["code"]) == (503, "STORE_UNAVAILABLE")
    assert "Idempotency-Key" in answer["detail"]
    assert [server.post(batch, **key)[2]["stored"] for _ in range(2)] == [1, 0]
    assert actions_by_batch(cluster) == {"once": 1}


def test_a_read_only_database_is_answered_503_until_it_is_writable_again(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    server.post([a_log(a_click(batch="before"))])
    _switch(cluster, "default_transaction_read_only", "on")
    refused = server.post([a_log(a_click(batch="refused"))])
    read = server.request("GET", "/logs/")
    _switch(cluster, "default_transaction_read_only", "off")
    assert (refused[0], refused[2]["code"]) == (503, "STORE_UNAVAILABLE")
    assert read[0] == 200
    assert server.post([a_log(a_click(batch="after"))])[0] == 200
    assert set(actions_by_batch(cluster)) == {"before", "after"}


def test_a_database_without_free_connections_is_answered_503(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    with cluster.cursor() as cursor:
        cursor.execute("CREATE ROLE narrow LOGIN SUPERUSER CONNECTION LIMIT 0; ALTER ROLE narrow NOSUPERUSER")
    narrow = serve(DATABASE_URL=cluster.url.replace("store@", "narrow@"))
    assert narrow.post([a_log()])[0] == 503
    assert server.post([a_log()])[0] == 200


def test_a_client_gone_in_mid_upload_stores_nothing(cluster, serve):
    server = serve(DATABASE_URL=cluster.url)
    whole_lines = b'{"userId":"gone","sessionId":"1","actions":[{"time":"2018-10-18T21:37:28-06:00","type":"VIEW",'
    whole_lines += b'"properties":{"viewedId":"a","batch":"gone"}}]}\n'
    for framing in (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n"):
        with server.connect() as client:
            client.sendall(
                b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n" + framing
            )
            client.sendall(whole_lines * 3)
    assert server.post([a_log(a_view(batch="here"))])[0] == 200
    time.sleep(0.2)
    assert set(actions_by_batch(cluster)) == {"here"}


def test_a_reader_of_a_killed_database_is_not_shown_a_whole_answer(cluster, serve):
    server = serve(DATABASE_URL=cluster.url, WEB_CONCURRENCY=1)
    _fill(server)
    with server.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = client.recv(1024)
        cluster.kill()
        try:
            while piece := client.recv(1 << 20):
                received += piece
        except ConnectionResetError:
            pass
        finally:
            cluster.start()
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")


def _ends_sessions_that_wait_for(cursor: cursor, event: str) -> bool:
    cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = %s", [event])
    return bool(cursor.fetchall())


def _switch(cluster: Cluster, name: str, value: str) -> None:
    with cluster.cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET {name} = {value}")
        cursor.execute("SELECT pg_reload_conf()")
    wait_until(lambda: _setting(cluster, name) == value.strip("'"))
    # Sessions that are open read their settings between two statements.
    time.sleep(0.3)


def _setting(cluster: Cluster, name: str) -> str:
    with cluster.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone()[0]


def _fill(server: Server) -> None:
    for user in range(6):
        batch = [a_log(*[a_view(padding="x" * 1500)] * 1000, user=str(user))]
        assert server.post(batch)[0] == 200


@pytest.fixture(autouse=True)
def _no_fault_of_ours(request, serve, tmp_path):
    """No server under test may have failed to answer."""
    yield
    for log in tmp_path.glob("*.log"):
        assert "Internal Server Error" not in log.read_text()

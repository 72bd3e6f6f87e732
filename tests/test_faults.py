"""What is acknowledged is kept and what fails leaves nothing behind, whoever is killed: PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from psycopg2.extensions import cursor

from tests.builders import a_click, a_log, a_view
from tests.cluster import Cluster
from tests.load import Load, actions_by_batch, assert_nothing_lost_nothing_partial
from tests.server import Server, wait_until

pytest_plugins = ["tests.fault_fixtures"]


def test_a_killed_server_loses_no_acknowledged_batch(cluster, server):
    with Load(server) as load:
        load.acknowledges_more(100)
        server.kill()
        server.start()
        load.acknowledges_more(100)
    assert None in load.statuses
    assert_nothing_lost_nothing_partial(cluster, load)


def test_a_killed_database_is_answered_503_and_comes_back_by_itself(cluster, server):
    with Load(server) as load:
        load.acknowledges_more(100)
        cluster.kill()
        wait_until(lambda: load.statuses.count(503) >= 8)
        read = server.request("GET", "/logs/?limit=1")
        cluster.start()
        load.acknowledges_more(20)
    assert read.refusal == (503, "STORE_UNAVAILABLE")
    assert int(read.headers["Retry-After"]) > 0
    assert set(load.statuses) == {200, 503}
    assert_nothing_lost_nothing_partial(cluster, load)


def test_batches_repeated_under_their_keys_are_stored_once_whatever_is_killed(cluster, server):
    with Load(server, with_keys=True) as load:
        load.acknowledges_more(10)
        cluster.kill()
        cluster.start()
        load.acknowledges_more(10)
        server.kill()
        server.start()
        load.acknowledges_more(10)
    assert_nothing_lost_nothing_partial(cluster, load)


def test_a_commit_whose_answer_is_lost_is_not_repeated_under_its_key(cluster, server):
    batch, key = [a_log(a_click(batch="once"))], {"Idempotency-Key": "once"}
    # A commit that is on disk, but waits for a standby that never comes: there the test ends the connection.
    _switch(cluster, "synchronous_standby_names", "nobody")
    with ThreadPoolExecutor() as pool, cluster.cursor() as cursor:
        posted = pool.submit(server.post, batch, key)
        wait_until(lambda: _ends_sessions_that_wait_for(cursor, "SyncRep"))
    _switch(cluster, "synchronous_standby_names", "''")
    assert posted.result().refusal == (503, "STORE_UNAVAILABLE")
    assert "Idempotency-Key" in posted.result().json()["detail"]
    assert server.post(batch, key).json() == {"success": True, "stored": 0, "duplicates": 1}
    assert actions_by_batch(cluster) == {"once": 1}


def test_a_commit_that_broke_off_is_stored_by_a_repeat_under_its_key(cluster, server):
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
    batch, key = [a_log(a_click(batch="once"))], {"Idempotency-Key": "once"}
    refused = server.post(batch, key)
    with cluster.cursor() as cursor:
        cursor.execute("DROP FUNCTION end_connection CASCADE")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")
    assert "Idempotency-Key" in refused.json()["detail"]
    assert [server.post(batch, key).json()["stored"] for _ in range(2)] == [1, 0]
    assert actions_by_batch(cluster) == {"once": 1}


def test_a_read_only_database_is_answered_503_until_it_is_writable_again(cluster, server):
    server.post([a_log(a_click(batch="before"))])
    _switch(cluster, "default_transaction_read_only", "on")
    refused = server.post([a_log(a_click(batch="refused"))])
    read = server.request("GET", "/logs/")
    _switch(cluster, "default_transaction_read_only", "off")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")
    assert read.status == 200
    assert server.post([a_log(a_click(batch="after"))]).status == 200
    assert set(actions_by_batch(cluster)) == {"before", "after"}


def test_a_database_without_free_connections_is_answered_503(cluster, server, serve):
    with cluster.cursor() as cursor:
        cursor.execute("CREATE ROLE narrow LOGIN SUPERUSER CONNECTION LIMIT 0; ALTER ROLE narrow NOSUPERUSER")
    narrow = serve(DATABASE_URL=cluster.url.replace("store@", "narrow@"))
    assert narrow.post([a_log()]).status == 503
    assert server.post([a_log()]).status == 200


def test_a_client_gone_in_mid_upload_stores_nothing(cluster, server):
    whole_lines = b'{"userId":"gone","sessionId":"1","actions":[{"time":"2018-10-18T21:37:28-06:00","type":"VIEW",'
    whole_lines += b'"properties":{"viewedId":"a","batch":"gone"}}]}\n'
    for framing in (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n"):
        with server.connect() as client:
            client.sendall(
                b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n" + framing
            )
            client.sendall(whole_lines * 3)
    assert server.post([a_log(a_view(batch="here"))]).status == 200
    time.sleep(0.2)
    assert set(actions_by_batch(cluster)) == {"here"}


def test_a_reader_of_a_killed_database_is_not_shown_a_whole_answer(cluster, server):
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
        assert server.post(batch).status == 200

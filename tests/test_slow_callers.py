"""Slow callers and slow statements are bounded in time, and leave room for the others."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median

import pytest
from django.db import connection, transaction
from django.db.backends.signals import connection_created

from logs.lib.transactions import limit_session, limit_transaction, snapshot
from tests.builders import a_click, a_log, a_view
from tests.cluster import Cluster
from tests.server import Server, wait_until

pytest_plugins = ["tests.fault_fixtures"]

CLIENT_TIMEOUT = 1.5
THREADS = 4
HALF_A_HEADER = b"POST /logs/ HTTP/1.1\r\nX-Slow: "
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_A_BODY = b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n["


@pytest.fixture(scope="module")
def strict_server(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"WEB_CONCURRENCY": 1, "WEB_THREADS": THREADS, "LOGSTORE_CLIENT_TIMEOUT": CLIENT_TIMEOUT}
    log = tmp_path_factory.mktemp("strict") / "server.log"
    with Server(log, DATABASE_URL=running_cluster.url, **settings) as server:
        yield server


@pytest.fixture
def server(cluster: Cluster, strict_server: Server) -> Server:
    """A server that soon gives up a client, over an empty store."""
    return strict_server


@pytest.fixture
def much(server) -> int:
    """More than the kernel's buffers hold, in bytes."""
    for user in range(6):
        assert server.post([a_log(*[a_view(padding="x" * 1500)] * 1000, user=str(user))]).status == 200
    return 6 * 1000 * 1500


def test_a_reader_that_stops_reading_frees_its_thread_and_its_database_connection(cluster, server, much):
    with ExitStack() as clients:
        for _ in range(THREADS):
            client = clients.enter_context(server.connect(receive_buffer=4096))
            client.sendall(b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: _open_transactions(cluster) == THREADS)
        began = time.monotonic()
        wait_until(lambda: _open_transactions(cluster) == 0)
        assert server.post([a_log(a_click())]).status == 200
        assert time.monotonic() - began < 2 * CLIENT_TIMEOUT


def test_a_reader_that_is_slow_but_steady_gets_everything(cluster, serve, much):
    timeout, seconds = 0.3, 3
    server = serve(DATABASE_URL=cluster.url, LOGSTORE_CLIENT_TIMEOUT=timeout, LOGSTORE_IDLE_TRANSACTION_TIMEOUT=timeout)
    with server.connect(receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /logs/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        received = 0
        while piece := client.recv(32 * 1024):
            received += len(piece)
            time.sleep(seconds * len(piece) / much)
    assert received > much


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /logs/ HTTP/1.1\r\nHost:",
        b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n[",
    ],
    ids=["nothing sent", "half a header", "half a body"],
)
def test_clients_that_stall_leave_the_others_their_threads(server, start):
    with ExitStack() as clients:
        for _ in range(THREADS - 1):
            clients.enter_context(server.connect()).sendall(start)
        began = time.monotonic()
        assert server.post([a_log()]).status == 200
        assert time.monotonic() - began < CLIENT_TIMEOUT


@pytest.mark.parametrize(
    "start",
    [HALF_A_HEADER, HALF_A_BODY],
    ids=["header", "body"],
)
def test_clients_that_trickle_on_every_thread_are_given_up(cluster, server, start):
    with ExitStack() as clients:
        trickling = [clients.enter_context(server.connect()) for _ in range(THREADS)]
        for client in trickling:
            client.sendall(start)
        assert sum(_trickle_until_refused(client) for client in trickling) < THREADS * 10 * CLIENT_TIMEOUT
        assert server.post([a_log()]).status == 200
    with cluster.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM logs_log")
        assert cursor.fetchone()[0] == 1


@pytest.mark.parametrize("start", [b"", HALF_A_HEADER, HEALTH + HALF_A_HEADER], ids=["nothing", "head", "second head"])
def test_half_a_head_takes_no_thread_and_is_given_up(server, start):
    with ExitStack() as clients:
        stalled = [clients.enter_context(server.connect()) for _ in range(3 * THREADS)]
        for client in stalled:
            client.sendall(start)
        began = time.monotonic()
        assert server.request("GET", "/healthz").status == 200
        assert time.monotonic() - began < CLIENT_TIMEOUT / 2
        for client in stalled:
            # Closed with what it sent unread, which resets it.
            with suppress(ConnectionResetError):
                while client.recv(1000):
                    pass
        assert time.monotonic() - began < 4 * CLIENT_TIMEOUT


@pytest.fixture(scope="module")
def calm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all the patience of the defaults."""
    with Server(tmp_path_factory.mktemp("calm") / "log", WEB_CONCURRENCY=1, WEB_THREADS=THREADS) as server:
        yield server


@pytest.mark.parametrize("pieces", [1, 7], ids=["bytes", "pieces"])
def test_heads_that_come_in_pieces_are_served_on_one_connection(calm_server, pieces):
    sent = 3 * HEALTH
    with calm_server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), pieces):
            client.sendall(sent[start : start + pieces])
            time.sleep(0.004)
        assert _answers(client, 3) == [200] * 3


def test_a_request_and_a_half_at_once_and_then_the_rest(calm_server):
    with calm_server.connect() as client:
        for piece in (HEALTH + HEALTH[:20], HEALTH[20:] + HEALTH + HEALTH[:-1]):
            client.sendall(piece)
            time.sleep(0.1)
        client.sendall(HEALTH[-1:])
        assert _answers(client, 4) == [200] * 4


def test_a_head_that_ends_half_way_ends_its_connection(calm_server):
    with calm_server.connect() as client:
        client.sendall(HALF_A_HEADER)
        time.sleep(0.1)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""


def test_clients_that_linger_do_not_slow_the_others(calm_server):
    """Many of all kinds: idle between two requests, within a head, and after an answer that ended the connection."""
    closing = HEALTH.replace(b"Host", b"Connection: close\r\nHost")
    with ExitStack() as clients:
        for start in [HEALTH] * 500 + [HALF_A_HEADER] * 50 + [closing] * 50:
            client = clients.enter_context(calm_server.connect())
            client.sendall(start)
            if start != HALF_A_HEADER:
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
        seconds = []
        for _ in range(9):
            began = time.monotonic()
            assert calm_server.request("GET", "/healthz", timeout=2).status == 200
            seconds.append(time.monotonic() - began)
        assert median(seconds) < 0.1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux for the time that a process took")
def test_waiting_for_clients_takes_no_time_of_the_processor(calm_server):
    pid = re.findall(r"Booting worker with pid: (\d+)", calm_server.log)[-1]
    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(calm_server.connect()).sendall(HALF_A_HEADER)
        time.sleep(0.5)
        before = _processor_seconds(pid)
        time.sleep(1)
        assert _processor_seconds(pid) - before < 0.2


def test_a_client_that_never_pauses_leaves_the_only_thread_to_others(serve):
    server, requests = serve(WEB_CONCURRENCY=1, WEB_THREADS=1), 2000
    with ThreadPoolExecutor(1) as pool, server.connect() as client:
        # As long as a power of two: what is read at once never ends within a request.
        client.sendall(requests * HEALTH.replace(b"Host", b"X: ".ljust(64 - len(HEALTH) - 2, b"x") + b"\r\nHost"))
        reader = pool.submit(_answers, client, requests)
        began = time.monotonic()
        assert server.request("GET", "/healthz").status == 200
        seconds = time.monotonic() - began
        assert reader.result() == [200] * requests
        assert seconds < (time.monotonic() - began) / 2


def test_a_stop_announces_itself_on_a_busy_connection_and_waits_for_no_half_head(serve):
    server = serve(WEB_CONCURRENCY=1)
    with ThreadPoolExecutor(1) as pool, server.connect() as half:
        half.sendall(HALF_A_HEADER)
        busy = pool.submit(_send_until_closed, server, seconds=10)
        time.sleep(0.5)
        began = time.monotonic()
        server.stop()
        # It would be killed only then.
        assert time.monotonic() - began < 5
        answers, last_says = busy.result()
    assert (answers > 10, last_says) == (True, "close")


def test_a_batch_waits_for_a_lock_only_so_long(cluster, serve):
    server = serve(DATABASE_URL=cluster.url, LOGSTORE_LOCK_TIMEOUT=0.2)
    server.post([a_log()])
    with cluster.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE logs_log")
        began = time.monotonic()
        refused = server.post([a_log()])
        cursor.execute("ROLLBACK")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")
    assert refused.headers["Retry-After"]
    assert 0.2 <= time.monotonic() - began < 5
    assert server.logs() == [a_log()]


@pytest.mark.parametrize("query", ["", "?userId=ABC123XYZ", "?limit=1"], ids=["all", "a user's", "a page"])
def test_a_read_takes_only_so_long(cluster, serve, query):
    server = serve(DATABASE_URL=cluster.url, LOGSTORE_STATEMENT_TIMEOUT=0.2)
    with cluster.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE logs_log, logs_action")
        status = server.request("GET", f"/logs/{query}").status
        cursor.execute("ROLLBACK")
    assert status == 503
    assert server.request("GET", f"/logs/{query}").status == 200


LIMITS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]


@pytest.fixture
def given_limits(transactional_db, settings):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such limits: its only one is for how long a writer waits")
    settings.LOGSTORE_STATEMENT_TIMEOUT, settings.LOGSTORE_LOCK_TIMEOUT = 31, 1.5
    settings.LOGSTORE_IDLE_TRANSACTION_TIMEOUT = 61


@pytest.fixture
def served_connection(given_limits):
    """The connection of a process that serves requests."""
    connection.close()
    connection_created.connect(limit_session)
    yield connection
    connection_created.disconnect(limit_session)
    connection.close()


def test_a_served_connection_is_limited_when_it_is_made(served_connection):
    """Also what reads and writes outside of a transaction, such as the admin."""
    assert [_shown(name) for name in LIMITS] == ["31s", "1500ms", "61s"]


def test_a_snapshot_of_a_served_connection_may_be_idle_for_as_long_as_its_client_takes(served_connection):
    with snapshot():
        assert [_shown(name) for name in LIMITS] == ["31s", "1500ms", "0"]


def test_a_command_may_take_its_time(given_limits):
    with snapshot():
        assert [_shown(name) for name in LIMITS] == ["0", "0", "0"]
    with transaction.atomic():
        limit_transaction()
        assert [_shown(name) for name in LIMITS] == ["0", "0", "0"]


def _open_transactions(cluster: Cluster) -> int:
    with cluster.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            " AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


def _trickle_until_refused(client: socket.socket) -> float:
    """Send a byte now and then, never so seldom that the client stalls; return how long that was borne, in seconds."""
    began = time.monotonic()
    client.settimeout(CLIENT_TIMEOUT / 5)
    while time.monotonic() - began < 20 * CLIENT_TIMEOUT:
        try:
            client.sendall(b" ")
            client.recv(1000)
        except TimeoutError:
            continue
        except OSError:
            pass
        break
    return time.monotonic() - began


def _answers(client: socket.socket, count: int) -> list[int]:
    """Read so many answers, one behind the other; return their statuses."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count and (piece := client.recv(1000)):
        received += piece
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", received)]


def _send_until_closed(server: Server, seconds: float) -> tuple[int, str]:
    """Send one request after another on a connection; return how many were answered, and what the last said of it."""
    began, answers, says = time.monotonic(), 0, ""
    caller = HTTPConnection("127.0.0.1", server.port, timeout=10)
    while time.monotonic() - began < seconds and says != "close":
        caller.request("GET", "/healthz")
        answer: HTTPResponse = caller.getresponse()
        answer.read()
        answers, says = answers + 1, answer.headers["Connection"]
    caller.close()
    return answers, says


def _processor_seconds(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _shown(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone()[0]

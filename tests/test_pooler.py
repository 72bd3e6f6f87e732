"""The store behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

import psycopg2
import pytest

from tests.builders import a_click, a_log, a_view, as_lines
from tests.cluster import RUN_AS, Cluster, free_port, skip_or_fail
from tests.load import ACTIONS_IN_A_BATCH, Load
from tests.server import Server, wait_until

pytest_plugins = ["tests.fault_fixtures"]

POOL_SIZE = 3
LIMITED = "connect_query='SET lock_timeout = ''200ms'''"


@contextmanager
def pooler(cluster: Cluster, database_options: str = "") -> Iterator[str]:
    """Run a PgBouncer in front of the cluster, with fewer connections than the server has threads, and yield its URL.

    database_options: what it is told of the database beside where that is.
    """
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        skip_or_fail("PgBouncer is not installed")
    port = free_port()
    directory = Path(mkdtemp(prefix="logstore-"))
    (directory / "pgbouncer.ini").write_text(
        f"""
        [databases]
        postgres = host=127.0.0.1 port={cluster.port} {database_options}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {directory / "users.txt"}
        pool_mode = transaction
        default_pool_size = {POOL_SIZE}
        server_login_retry = 1
        """
    )
    (directory / "users.txt").write_text('"store" ""\n')
    if RUN_AS:
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    process = subprocess.Popen(
        [program, "--quiet", directory / "pgbouncer.ini"], cwd="/", stderr=subprocess.DEVNULL, **RUN_AS
    )
    url = f"postgres://store@127.0.0.1:{port}/postgres"
    wait_until(lambda: _connects(url))
    yield url
    process.terminate()
    process.wait()
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def pooler_url(running_cluster: Cluster) -> Iterator[str]:
    with pooler(running_cluster) as url:
        yield url


@pytest.fixture(scope="module")
def pooled_server(pooler_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("pooled") / "server.log", DATABASE_URL=pooler_url) as server:
        yield server


@pytest.fixture
def server(cluster: Cluster, pooled_server: Server) -> Server:
    """A server behind the pooler, over an empty store."""
    return pooled_server


def test_clients_share_the_connections_of_a_pooler(cluster, server):
    with Load(server, clients=8, with_keys=True) as load:
        wait_until(lambda: len(load.acknowledged) >= 60)
        assert _connections(cluster) <= POOL_SIZE
    assert set(load.statuses) == {200}
    stored = sum(len(log["actions"]) for log in server.logs())
    assert stored == ACTIONS_IN_A_BATCH * len(load.acknowledged)


def test_an_answer_of_many_rows_streams_through_a_pooler(server):
    log = a_log(*[a_view(viewed_id=str(number)) for number in range(5000)])
    server.post([log])
    assert server.logs() == [log]
    assert server.logs("?userId=ABC123XYZ") == [log]


def test_a_batch_behind_a_pooler_waits_for_a_lock_only_so_long(cluster, serve, pooler_url):
    server = serve(DATABASE_URL=pooler_url, LOGSTORE_LOCK_TIMEOUT=0.2)
    server.post([a_log(a_click())])
    with cluster.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE logs_log")
        refused = server.post([a_log(a_click())])
        cursor.execute("ROLLBACK")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")
    assert server.logs() == [a_log(a_click())]


def test_a_read_outside_of_a_transaction_has_the_limits_of_the_pooler(cluster, serve):
    with pooler(cluster, LIMITED) as url, cluster.cursor() as cursor:
        server = serve(DATABASE_URL=url)
        cursor.execute("BEGIN; LOCK TABLE logs_log")
        refused = server.request("GET", "/logs/?userId=ABC123XYZ")
        cursor.execute("ROLLBACK")
    assert refused.refusal == (503, "STORE_UNAVAILABLE")


def test_the_limits_of_a_request_do_not_stay_on_a_pooled_connection(server, pooler_url):
    for _ in range(3):
        server.post([a_log()])
        server.request("GET", "/logs/")
    with closing(psycopg2.connect(pooler_url)) as other, other.cursor() as cursor:
        limits = []
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {name}")
            limits.append(cursor.fetchone()[0])
    assert limits == ["0", "0", "0"]


def test_changes_are_followed_while_others_write(server):
    with Load(server, with_keys=True) as load:
        load.acknowledges_more(20)
        batches, cursor = read_changes(server, "")
    batches += read_changes(server, cursor)[0]
    assert Counter(batches) == dict.fromkeys(load.acknowledged, ACTIONS_IN_A_BATCH)


def read_changes(server: Server, cursor: str) -> tuple[list[str], str]:
    """The batches that come behind a cursor until there is no more, an entry for each action, and the last cursor."""
    batches, more = [], True
    while more:
        page = server.request("GET", f"/logs/changes?limit=500&wait=1&after={quote(cursor)}").json()
        batches += [action["properties"]["batch"] for change in page["changes"] for action in change["actions"]]
        cursor, more = page["cursor"], page["more"]
    return batches, cursor


def test_an_import_keeps_another_one_out(cluster, server, pooler_url, tmp_path):
    (tmp_path / "logs").write_bytes(as_lines(a_log()))
    with closing(psycopg2.connect(cluster.url)) as other:
        other.cursor().execute("SELECT pg_advisory_xact_lock(hashtext('logs'), hashtext('import'))")
        with pytest.raises(subprocess.CalledProcessError):
            server.manage("importlogs", str(tmp_path / "logs"))
    for _ in range(2):
        server.manage("importlogs", str(tmp_path / "logs"))
    assert server.logs() == [a_log()]


def test_a_database_killed_behind_a_pooler_comes_back_by_itself(cluster, server):
    with Load(server) as load:
        load.acknowledges_more(10)
        cluster.kill()
        cluster.start()
        load.acknowledges_more(10)
    assert set(load.statuses) <= {200, 503}


def _connects(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def _connections(cluster: Cluster) -> int:
    with cluster.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]

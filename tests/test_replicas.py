"""Streaming replicas: who reads from them, and what becomes of that when one is behind, away or promoted."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.builders import a_log, many_logs
from tests.cluster import SEPARATE_HOST, Cluster
from tests.commandline import CommandLine
from tests.server import wait_until
from tests.test_metrics import samples

pytest_plugins = ["tests.fault_fixtures"]

NO_CACHE = {"Cache-Control": "no-cache"}


@pytest.fixture
def make_replica(cluster):
    """Make a replica of the cluster, which ends with the test."""
    made = []

    def make():
        directory = Path(mkdtemp(prefix="logstore-"))
        replica = Cluster(directory, primary=cluster)
        made.append((replica, directory))
        replica.start(log_statement="all")
        return replica

    yield make
    for replica, directory in made:
        replica.stop()
        shutil.rmtree(directory)


@pytest.fixture
def replica(make_replica):
    return make_replica()


def reads(server):
    """How many reads each server of the database has answered so far."""
    found = samples(server.request("GET", "/metrics").text)
    return {
        name: count for (sample, *name), count in found.items() if sample == "logstore_reads_total" for name in name
    }


def reader(server):
    """Read once, and return whose answer that was."""
    before = reads(server)
    assert server.request("GET", "/logs/").status == 200
    (name,) = (name for name, count in reads(server).items() if count > before.get(name, 0))
    return name


def run(replica, statement):
    with replica.cursor() as cursor:
        cursor.execute(statement)


def wait_until_replayed(cluster, replica):
    with cluster.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()")
        (written,) = cursor.fetchone()

    def is_there():
        with replica.cursor() as cursor:
            cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s", [written])
            return cursor.fetchone()[0]

    wait_until(is_there)


def start(serve, cluster, *replicas, max_lag="1s"):
    urls = ",".join(replica.url for replica in replicas)
    return serve(
        DATABASE_URL=cluster.url,
        DATABASE_REPLICA_URLS=urls,
        LOGSTORE_REPLICA_MAX_LAG=max_lag,
        WEB_CONCURRENCY=1,
        LOGSTORE_RATE_READ="",
    )


def test_a_replica_answers_reads_and_the_primary_whoever_must_see_his_own_write(serve, cluster, replica):
    server = start(serve, cluster, replica, max_lag="1h")
    # Enough for an answer that is streamed.
    early = many_logs(300)
    assert server.post(early).status == 200
    wait_until_replayed(cluster, replica)
    wait_until(lambda: reader(server) == "replica1")

    run(replica, "SELECT pg_wal_replay_pause()")
    assert server.post([a_log(user="late")], {"Idempotency-Key": "late"}).json()["stored"] == 3

    assert server.logs() == early
    assert server.logs("?limit=5&order=newest") == early[:-6:-1]
    assert server.logs("?userId=late") == []
    for value in ("no-cache", "max-age=0, No-Cache"):
        answer = server.request("GET", "/logs/?userId=late", headers={"Cache-Control": value})
        assert answer.json() == [a_log(user="late")]
    assert len(server.request("GET", "/logs/", headers=NO_CACHE).json()) == 301
    # What must be current never comes from there: a repeat is known, and the feed has all that is stored.
    assert server.post([a_log(user="late")], {"Idempotency-Key": "late"}).json()["duplicates"] == 3
    changes = server.request("GET", "/logs/changes?userId=late").json()["changes"]
    assert [change["userId"] for change in changes] == ["late"]


def test_a_replica_that_falls_behind_is_left_out_until_it_has_caught_up(serve, cluster, replica):
    server = start(serve, cluster, replica)
    wait_until(lambda: reader(server) == "replica1")
    # Without writes it is not behind, however long that takes.
    time.sleep(2.5)
    assert reader(server) == "replica1"
    run(replica, "SELECT pg_wal_replay_pause()")
    server.post([a_log()])
    began = time.monotonic()
    wait_until(lambda: server.logs() == [a_log()])
    # A second, and what the test itself takes.
    assert time.monotonic() - began < 3
    assert reader(server) == "primary"
    run(replica, "SELECT pg_wal_replay_resume()")
    wait_until(lambda: reader(server) == "replica1")
    assert server.logs() == [a_log()]


def test_replicas_take_turns_and_one_that_is_killed_costs_no_request_its_answer(serve, cluster, make_replica):
    first, second = make_replica(), make_replica()
    server = start(serve, cluster, first, second)
    server.post([a_log()])
    wait_until(lambda: {reader(server), reader(server)} == {"replica1", "replica2"})

    first.kill()
    longest = 0.0
    for _ in range(100):
        began = time.monotonic()
        assert server.logs() == [a_log()]
        longest = max(longest, time.monotonic() - began)
    assert longest < 2
    assert {reader(server) for _ in range(4)} == {"replica2"}

    second.kill()
    for _ in range(20):
        assert server.logs() == [a_log()]
    assert reader(server) == "primary"

    first.start()
    wait_until(lambda: reader(server) == "replica1")


def test_a_replica_that_falls_silent_costs_one_request_its_patience_and_no_other(serve, cluster, replica):
    change = ["ip", "route", "add", "blackhole", SEPARATE_HOST, "table", "local"]
    back = ["ip", "route", "del", "blackhole", SEPARATE_HOST, "table", "local"]
    replica.url = replica.url.replace("127.0.0.1", SEPARATE_HOST)
    server = start(serve, cluster, replica)
    server.post([a_log()])
    wait_until(lambda: reader(server) == "replica1")
    if shutil.which("ip") is None or subprocess.run(change, capture_output=True).returncode:
        pytest.skip("this process may not change routes")
    try:
        durations = []
        for _ in range(20):
            began = time.monotonic()
            assert server.request("GET", "/logs/", timeout=60).json() == [a_log()]
            durations.append(time.monotonic() - began)
        assert sum(duration > 1 for duration in durations) <= 1
        assert reader(server) == "primary"
    finally:
        subprocess.run(back, check=True)
    wait_until(lambda: reader(server) == "replica1", seconds=60)


def test_a_replica_that_was_promoted_answers_nothing_more(serve, cluster, replica):
    server = start(serve, cluster, replica)
    server.post([a_log()])
    wait_until(lambda: reader(server) == "replica1")
    run(replica, "SELECT pg_promote()")
    run(replica, "TRUNCATE logs_action, logs_log")
    wait_until(lambda: reader(server) == "primary")
    assert server.logs() == [a_log()]


def test_a_primary_that_is_named_as_a_replica_answers_as_the_primary(serve, cluster):
    server = start(serve, cluster, cluster)
    assert reader(server) == "primary"


def test_exports_and_insights_read_from_a_replica_and_note_that_on_the_primary(cluster, replica):
    line = CommandLine(cluster.url)
    line.environment |= {"DATABASE_REPLICA_URLS": replica.url, "LOGSTORE_REPLICA_MAX_LAG": "1h"}
    line.succeed(
        "importlogs",
        "-",
        stdin=b'[{"userId":"u","sessionId":"s","actions":[{"time":"2018-10-18T21:37:28-06:00",'
        b'"type":"CLICK","properties":{"locationX":1,"locationY":2}}]}]',
    )
    wait_until_replayed(cluster, replica)
    before = len(replica.log)

    assert b'"userId":"u"' in line.run("exportlogs").stdout
    exported = replica.log[before:]
    assert '"logs_action"' in exported
    assert "logs_accessrecord" not in exported
    with cluster.cursor() as cursor:
        cursor.execute("SELECT kind, count FROM logs_accessrecord ORDER BY id DESC LIMIT 1")
        assert cursor.fetchall() == [("EXPORT", 1)]

    page = """
from django.contrib.auth.models import User
from django.test import Client
user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
client = Client(SERVER_NAME="localhost")
client.force_login(user)
print(client.get("/admin/insights/activity.json?from=2018-10-18&to=2018-10-19").json())
print(client.get("/admin/insights/users.json?from=2018-10-18&to=2018-10-19").status_code)
"""
    # The first one rolls the days up.
    line.succeed("shell", "-c", page)
    wait_until_replayed(cluster, replica)
    before = len(replica.log)
    assert "200" in line.succeed("shell", "-c", page)
    asked = replica.log[before:]
    assert "'ACTIVITY'" in asked
    # Of somebody who was erased nothing may be shown, for however short.
    assert "'USERS'" not in asked
    assert "auth_user" not in asked


def test_a_replica_of_sqlite_is_refused():
    line = CommandLine("sqlite:///store.sqlite3")
    line.environment["DATABASE_REPLICA_URLS"] = "postgres://replica/logstore"
    assert b"DATABASE_REPLICA_URLS: SQLite has no replicas" in line.run("check").stderr

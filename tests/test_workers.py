"""A cluster of the tests own: a coordinator and two workers, and what holds while one of them is away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.builders import a_log, at_once
from tests.citus import need_citus
from tests.cluster import Cluster
from tests.commandline import CommandLine
from tests.server import Server

CITUS = {
    "shared_preload_libraries": "citus",
    "max_prepared_transactions": 50,
    "citus.node_conninfo": "sslmode=disable",
}
USERS = [f"user-{number}" for number in range(20)]


@pytest.fixture(scope="module")
def nodes():
    need_citus()
    made = []
    for _ in range(3):
        directory = Path(mkdtemp(prefix="logstore-"))
        node = Cluster(directory)
        made.append((node, directory))
        node.start(**CITUS)
        with node.cursor() as cursor:
            cursor.execute("CREATE EXTENSION citus")
    coordinator, *workers = (node for node, _ in made)
    with coordinator.cursor() as cursor:
        cursor.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", [coordinator.port])
        for worker in workers:
            cursor.execute("SELECT citus_add_node('127.0.0.1', %s)", [worker.port])
    line = CommandLine(coordinator.url)
    line.succeed("migrate", "--verbosity", "0")
    line.succeed("distribute", "--shards", 4)
    yield coordinator, workers
    for node, directory in made:
        node.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def line(nodes):
    return CommandLine(nodes[0].url)


@pytest.fixture(scope="module")
def server(nodes, tmp_path_factory):
    log = tmp_path_factory.mktemp("workers") / "server.log"
    with Server(log, DATABASE_URL=nodes[0].url, WEB_CONCURRENCY=1) as server:
        assert server.post([a_log(user=user) for user in USERS]).status == 200
        yield server
        assert "Internal Server Error" not in server.log


@pytest.fixture
def away(nodes, server):
    """A worker that was killed, and is there again after the test."""
    worker = nodes[1][1]
    worker.kill()
    yield worker
    worker.start(**CITUS)
    assert len(server.logs()) >= len(USERS)


def users_of(nodes, worker):
    with nodes[0].cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s) AS name JOIN pg_dist_shard_placement"
            " ON shardid = get_shard_id_for_distribution_column('logs_log', name) WHERE nodeport = %s",
            [USERS, worker.port],
        )
        return [name for (name,) in cursor.fetchall()]


def test_a_worker_that_is_away_is_503_for_what_it_holds_and_nobody_else_feels_it(nodes, server, away):
    theirs = users_of(nodes, away)
    others = [user for user in USERS if user not in theirs]
    assert theirs
    assert others
    for user in others:
        assert server.request("GET", f"/logs/?userId={user}").status == 200
        assert server.post([a_log(user=user, session="while away")]).status == 200
    for user in theirs:
        assert server.request("GET", f"/logs/?userId={user}").refusal == (503, "STORE_UNAVAILABLE")
        assert server.post([a_log(user=user)]).refusal == (503, "STORE_UNAVAILABLE")
    assert server.post([a_log(user=user) for user in USERS]).refusal == (503, "STORE_UNAVAILABLE")
    # Also of batches that are written together.
    posts = at_once([lambda user=user: (user, server.post([a_log(user=user, session="while away")])) for user in USERS])
    for user, answer in posts:
        assert (answer.status == 200) is (user in others)
        if user in theirs:
            assert "may be stored or not" not in answer.json()["detail"]
    assert server.request("GET", "/logs/").refusal == (503, "STORE_UNAVAILABLE")
    # It goes on serving what it can.
    assert server.request("GET", "/readyz").json() == {"status": "ok", "workersAway": [f"127.0.0.1:{away.port}"]}


def test_nothing_of_a_batch_that_was_refused_is_stored(server):
    assert {len(log["actions"]) for log in server.logs() if log["sessionId"] != "while away"} == {3}
    assert server.request("GET", "/readyz").json() == {"status": "ok"}


def test_check_and_logstats_say_which_worker_is_away(line, away):
    name = f"127.0.0.1:{away.port}"
    checked = line.run("check").stderr.decode()
    assert f"(logs.W002) The worker {name} of the cluster is away" in checked


def test_logstats_knows_the_workers_and_what_they_hold(nodes, line, server):
    told = json.loads(line.succeed("logstats", "--json"))
    names = {f"127.0.0.1:{worker.port}" for worker in nodes[1]}
    assert {worker["name"] for worker in told["workers"]} == names
    assert sum(worker["shards"] for worker in told["workers"]) == 4
    assert told["bytesOnDisk"] > 0
    assert "Worker 127.0.0.1:" in line.succeed("logstats")
    assert b"W002" not in line.run("check").stderr

"""One store behind two gunicorn masters and nginx: what has to hold across all of their processes does."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections import Counter
from contextlib import closing, contextmanager
from datetime import date
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection

from logs.models import Action, IdempotencyKey
from logs.store.counts import totals
from logs.store.days import Days
from logs.store.rollups import due_days, prepare
from tests.builders import a_log
from tests.caches import REDIS_URL
from tests.cluster import free_port, skip_or_fail
from tests.commandline import CommandLine
from tests.server import Server, database_url, wait_until
from tests.test_metrics import samples

pytestmark = pytest.mark.django_db(transaction=True)

# Of the Redis server's databases one that no other test uses, nor another of the processes that run tests: a server
# takes no prefix of its keys.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
OWN_REDIS = urlsplit(REDIS_URL)._replace(path=f"/{10 + _PROCESS % 6}").geturl()
DAY = Days(date(2018, 10, 18), date(2018, 10, 19))

_NGINX = """
daemon off;
# Whoever runs the tests: long bodies wait in their folder.
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream store {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://store;
            proxy_set_header Host $http_host;
            add_header X-Upstream $upstream_addr always;
        }}
    }}
}}
"""


@pytest.fixture
def counters():
    """The Redis server's database, empty."""
    server = redis.Redis.from_url(OWN_REDIS)
    try:
        server.flushdb()
    except redis.RedisError:
        skip_or_fail(f"no Redis at {REDIS_URL}")
    yield
    server.flushdb()


def listens(port):
    with closing(socket.socket()) as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(folder, servers):
    if shutil.which("nginx") is None:
        skip_or_fail("nginx is not installed")
    port = free_port()
    upstreams = " ".join(f"server 127.0.0.1:{server.port} max_fails=0;" for server in servers)
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, servers=upstreams, port=port, user=getpass.getuser()))
    process = subprocess.Popen(["nginx", "-c", file, "-e", folder / "start.log"])
    try:
        wait_until(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="module")
def masters(tmp_path_factory, django_db_setup, django_db_blocker):
    """Two masters behind nginx; returns its port."""
    folder = tmp_path_factory.mktemp("masters")
    metrics = folder / "metrics"
    metrics.mkdir()
    settings = {
        "REDIS_URL": OWN_REDIS,
        "LOGSTORE_RATE_READ": "20/d",
        "WEB_CONCURRENCY": 2,
        "PROMETHEUS_MULTIPROC_DIR": metrics,
    }
    first, second = (Server(folder / f"{name}.log", **settings) for name in ("first", "second"))
    with first, second, nginx(folder, [first, second]) as port:
        yield port
        for server in (first, second):
            assert "Internal Server Error" not in server.log


@pytest.fixture
def ask(masters, counters):
    """Ask the two masters through nginx; returns the status, the decoded answer, and who it came from."""

    def send(method, path, content=None, **headers):
        with closing(http.client.HTTPConnection("127.0.0.1", masters, timeout=60)) as caller:
            body = None if content is None else json.dumps(content)
            caller.request(method, path, body, {"Content-Type": "application/json", **headers})
            answer = caller.getresponse()
            text = answer.read().decode()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else text, answer.headers["X-Upstream"]

    return send


def together(*calls):
    """Make calls at the same time, and return what they return, in no order."""
    returned = []
    threads = [threading.Thread(target=lambda call=call: returned.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return returned


def test_a_rate_is_counted_over_all_masters(ask):
    answers = together(*[lambda: ask("GET", "/logs/")] * 30)
    assert Counter(status for status, _, _ in answers) == {200: 20, 429: 10}
    assert len({upstream for _, _, upstream in answers}) == 2


def test_a_batch_that_comes_to_all_masters_at_once_is_stored_once(ask):
    batch = [a_log()]
    answers = together(*[lambda: ask("POST", "/logs/", batch, **{"Idempotency-Key": "once"})] * 12)
    assert len({upstream for _, _, upstream in answers}) == 2
    assert {status for status, _, _ in answers} == {200}
    assert sorted(answer["stored"] for _, answer, _ in answers) == [0] * 11 + [3]
    assert (Action.objects.count(), IdempotencyKey.objects.count()) == (3, 1)


def test_metrics_are_those_of_all_masters_that_share_a_folder(ask):
    def stored():
        return samples(ask("GET", "/metrics")[1])["logstore_actions_stored_total",]

    ask("POST", "/logs/", [a_log()])
    before = stored()
    answers = together(*[lambda: ask("POST", "/logs/", [a_log()])] * 12)
    assert len({upstream for _, _, upstream in answers}) == 2
    assert {stored() for _ in range(4)} == {before + 36}


def test_charts_count_what_comes_to_all_masters_while_days_are_rolled_up(ask):
    """By the plain count, whoever rolled a day up last and whoever stored into it meanwhile."""
    stop = threading.Event()

    def roll_up():
        try:
            while not stop.is_set():
                prepare(DAY)
        finally:
            connection.close()

    roller = threading.Thread(target=roll_up)
    roller.start()
    try:
        answers = together(*[lambda n=n: ask("POST", "/logs/", [a_log(user=f"user {n}")]) for n in range(30)])
    finally:
        stop.set()
        roller.join()
    assert [answer[0] for answer in answers] == [200] * 30
    prepare(DAY)
    assert due_days(DAY) == []
    assert sum(totals(DAY, ["CLICK", "VIEW", "NAVIGATE"]).values()) == Action.objects.count() == 90


def test_two_nights_at_once_are_one_while_all_masters_store(ask):
    line = CommandLine(database_url())
    line.environment |= {"LOGSTORE_RETENTION": "90d", "REDIS_URL": OWN_REDIS}
    old = [a_log(session=str(number)) for number in range(300)]
    assert ask("POST", "/logs/", old)[0] == 200
    nights = [lambda: line.run("maintain")] * 2
    recent = {**a_log()["actions"][0], "time": f"{date.today():%Y-%m-%d}T00:00:00-06:00"}
    posts = [lambda n=n: ask("POST", "/logs/", [a_log(recent, session=f"new {n}")]) for n in range(20)]
    done = together(*nights, *posts)
    codes = [night.returncode for night in done if isinstance(night, subprocess.CompletedProcess)]
    refused = [night for night in done if isinstance(night, subprocess.CompletedProcess) and night.returncode]
    assert codes.count(0) >= 1
    for night in refused:
        assert b"Another maintain is at work on this store" in night.stderr
    assert [answer[0] for answer in done if isinstance(answer, tuple)] == [200] * 20
    assert Action.objects.count() == 20
    assert b"Findings: 0" in line.run("verifylogs").stdout

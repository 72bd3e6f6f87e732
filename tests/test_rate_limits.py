"""How often somebody may call, in one process, across processes, and while the cache is away."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import redis
from django.core.cache import caches

from logs.access.rates import seconds_to_wait
from tests.builders import a_key, a_log, bearer, stored_logs
from tests.caches import BLACK_HOLE, NOBODY_LISTENS, REDIS_URL, with_cache

pytestmark = pytest.mark.django_db

# Windows of a day: none ends while a test runs, unless that runs at midnight.
DAY = 86400
ONCE, TWICE = (1, DAY), (2, DAY)


def statuses(call, times):
    return [call().status_code for _ in range(times)]


@pytest.fixture
def shared_cache(settings):
    """A Redis of which each test has a part of its own; returns the name of that part."""
    server = redis.Redis.from_url(REDIS_URL)
    try:
        server.ping()
    except redis.RedisError:
        if os.environ.get("CI"):
            pytest.fail(f"no Redis at {REDIS_URL}")
        pytest.skip(f"no Redis at {REDIS_URL}")
    part = with_cache(settings, REDIS_URL)
    yield part
    for name in server.scan_iter(f"*{part}*"):
        server.delete(name)


def test_there_is_no_limit_unless_one_is_set(post):
    assert set(statuses(lambda: post([a_log()]), 20)) == {200}


def test_who_calls_too_often_is_told_when_to_come_back(post, settings):
    settings.LOGSTORE_RATE_INGEST = TWICE
    assert statuses(lambda: post([a_log(session=str(time.monotonic_ns()))]), 2) == [200, 200]
    answer = post([a_log(session="too many")])
    assert (answer.status_code, answer.json()["code"]) == (429, "THROTTLED")
    assert 1 <= int(answer["Retry-After"]) <= 86400
    assert stored_logs() == 2


def test_waiting_as_long_as_told_is_enough(post, settings):
    settings.LOGSTORE_RATE_INGEST = (1, 1)
    while (answer := post([a_log()])).status_code == 200:
        pass
    time.sleep(int(answer["Retry-After"]))
    assert post([a_log()]).status_code == 200


def test_reading_and_ingesting_are_limited_apart(post, client, settings):
    settings.LOGSTORE_RATE_INGEST = TWICE
    assert statuses(lambda: post([a_log()]), 3) == [200, 200, 429]
    settings.LOGSTORE_RATE_READ = ONCE
    assert statuses(lambda: client.get("/logs/"), 2) == [200, 429]
    assert client.head("/logs/").status_code == 429
    assert client.options("/logs/").status_code == 200


def test_the_limit_comes_before_the_body(client, settings):
    settings.LOGSTORE_RATE_INGEST = ONCE
    send = lambda: client.post("/logs/", b"{not json", content_type="application/json")  # noqa: E731
    assert statuses(send, 2) == [400, 429]


def test_each_key_has_a_limit_of_its_own_wherever_it_comes_from(post, settings):
    settings.LOGSTORE_AUTH = "keys"
    settings.LOGSTORE_RATE_INGEST = TWICE
    first, second = bearer(a_key()[1]), bearer(a_key()[1])
    addresses = iter(f"192.0.2.{number}" for number in range(10))
    assert statuses(lambda: post([a_log()], headers=first, REMOTE_ADDR=next(addresses)), 3) == [200, 200, 429]
    assert post([a_log()], headers=second).status_code == 200


def test_a_refused_key_uses_up_nobodys_limit(post, settings):
    settings.LOGSTORE_AUTH = "keys"
    settings.LOGSTORE_RATE_INGEST = TWICE
    _, text = a_key()
    assert statuses(lambda: post([a_log()], headers=bearer("x")), 3) == [401, 401, 401]
    assert post([a_log()], headers=bearer(text)).status_code == 200


@pytest.mark.parametrize(
    "first, second, is_same",
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::4", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
    ],
    ids=["two of IPv4", "one network of IPv6", "two networks of IPv6", "IPv4 in IPv6"],
)
def test_each_address_has_a_limit_of_its_own_in_an_open_store(client, settings, first, second, is_same):
    settings.LOGSTORE_RATE_READ = ONCE
    assert client.get("/logs/", REMOTE_ADDR=first).status_code == 200
    assert client.get("/logs/", REMOTE_ADDR=second).status_code == (429 if is_same else 200)


def test_a_client_can_not_choose_its_address(client, settings):
    settings.LOGSTORE_RATE_READ = ONCE
    assert client.get("/logs/", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200
    assert client.get("/logs/", headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 429


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(client, settings):
    settings.LOGSTORE_BEHIND_PROXY = True
    settings.LOGSTORE_RATE_READ = ONCE

    def get(forwarded_for):
        return client.get("/logs/", headers={"X-Forwarded-For": forwarded_for}).status_code

    assert get("192.0.2.1") == 200
    assert get("192.0.2.2") == 200
    assert get("198.51.100.7, 192.0.2.1") == 429


COUNT_IN_A_PROCESS_OF_ITS_OWN = """
import django; django.setup()
from logs.access.rates import seconds_to_wait
print(sum(seconds_to_wait("test", {who!r}, (50, 86400)) == 0 for _ in range(40)))
"""


def test_processes_that_share_a_cache_share_the_limit(shared_cache):
    environ = {**os.environ, "REDIS_URL": REDIS_URL, "DJANGO_SETTINGS_MODULE": "logstore_project.settings"}
    code = COUNT_IN_A_PROCESS_OF_ITS_OWN.format(who=shared_cache)
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE) for _ in range(2)]
    allowed = [int(process.communicate()[0]) for process in processes]
    assert sum(allowed) == 50


def test_a_limit_in_redis_ends_with_its_window(shared_cache):
    assert seconds_to_wait("test", "somebody", (1, 60)) == 0
    server = redis.Redis.from_url(REDIS_URL)
    (name,) = server.keys(f"{shared_cache}*")
    assert 60 <= server.ttl(name) <= 120


@pytest.mark.parametrize("away", [NOBODY_LISTENS, BLACK_HOLE], ids=["refuses", "never answers"])
def test_while_the_cache_is_away_the_store_serves_and_does_not_wait_for_it(post, client, settings, away):
    with_cache(settings, away)
    settings.LOGSTORE_RATE_INGEST = settings.LOGSTORE_RATE_READ = ONCE
    started = time.monotonic()
    assert statuses(lambda: post([a_log()]), 5) == [200] * 5
    assert statuses(lambda: client.get("/logs/"), 5) == [200] * 5
    assert time.monotonic() - started < 2


def test_a_cache_that_comes_back_is_used_again(shared_cache, settings, monkeypatch):
    server = redis.Redis.from_url(REDIS_URL)
    cache = caches["default"]
    monkeypatch.setattr("logstore_project.cache.PAUSE_SECONDS", 0.1)
    # A command that Redis itself refuses stands for a Redis that is away.
    server.lpush(cache.make_key("list"), 1)
    assert cache.get("list", "nothing") == "nothing"
    cache.set("other", 1)
    assert cache.get("other") is None
    time.sleep(0.15)
    cache.set("other", 1)
    assert cache.get("other") == 1


@pytest.mark.parametrize(
    "method, arguments, answer",
    [
        ("get", ["x", "default"], "default"),
        ("add", ["x", 1], False),
        ("set", ["x", 1], None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cache_that_is_away_is_like_an_empty_one(settings, method, arguments, answer):
    with_cache(settings, NOBODY_LISTENS)
    assert getattr(caches["default"], method)(*arguments) == answer


def test_a_cache_that_is_away_has_nothing_to_count_on(settings):
    with_cache(settings, NOBODY_LISTENS)
    with pytest.raises(ValueError, match="away"):
        caches["default"].incr("x")

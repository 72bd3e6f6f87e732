"""A database whose collation sorts texts another way than Python does: PostgreSQL with ICU."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.builders import a_log, a_view
from tests.commandline import CommandLine, administer
from tests.server import Server, database_url

# Equal to some readers, sorted elsewhere than by their code points, and all of them different users.
USERS = [
    "a",
    "A",
    "\u00e4",
    "a\u0308",
    "Z",
    "z",
    "\u00df",
    "ss",
    "SS",
    "-a",
    "a-",
    " a",
    "10",
    "9",
    "i",
    "I",
    "\u0131",
    "\u0130",
]


@pytest.fixture
def icu_url():
    if connection.vendor != "postgresql" or connection.pg_version < 150000:
        pytest.skip("collations of a whole database by ICU came with PostgreSQL 15")
    name = f"{connection.settings_dict['NAME']}_icu"
    drop = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
    collation = "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'"
    administer(drop, f'CREATE DATABASE "{name}" TEMPLATE template0 {collation}')
    yield database_url(name)
    administer(drop)


@pytest.mark.django_db
def test_users_whom_a_collation_holds_for_alike_stay_apart_and_nobody_deadlocks(icu_url, tmp_path):
    manage = CommandLine(icu_url)
    manage.succeed("migrate", "--verbosity", "0")
    with Server(tmp_path / "server.log", DATABASE_URL=icu_url) as server, ThreadPoolExecutor(6) as pool:

        def post(seed: int) -> int:
            users = random.Random(seed).sample(USERS, len(USERS))
            return server.post([a_log(a_view(viewed_id=user), user=user, session=user) for user in users]).status

        posts = pool.map(post, range(60))
        manage.succeed("purgelogs", "--before", "2018-10-19T00:00:00-06:00", "--yes")
        assert set(posts) == {200}
        manage.succeed("purgelogs", "--before", "2018-10-19T00:00:00-06:00", "--yes")
        assert server.logs() == []
        assert {post(seed) for seed in range(2)} == {200}
        logs = server.logs()
    assert [log["userId"] for log in logs] == random.Random(0).sample(USERS, len(USERS))
    for log in logs:
        assert {action["properties"]["viewedId"] for action in log["actions"]} == {log["userId"]}
        assert len(log["actions"]) == 2
    assert "Findings: 0" in manage.succeed("verifylogs")

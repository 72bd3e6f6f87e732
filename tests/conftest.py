from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from tests import citus
from tests.builders import a_staff_user
from tests.commandline import CommandLine, empty_database, migrated_database

# One database serves all examples of a test: each example cleans up after itself.
hypothesis_settings.register_profile(
    "suite",
    max_examples=30,
    deadline=None,
    # What CI says depends on the change alone; examples that are new each time are for the machines of people.
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("suite")

if citus.URL and os.environ.get("DATABASE_URL") != citus.URL:
    # Django has read its settings before this file.
    pytest.exit("With CITUS_URL, DATABASE_URL must say the same: `make test` sees to that.", returncode=4)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-rounds", type=int, default=3, help="how often a fault that a test repeats comes")


@pytest.fixture
def fault_rounds(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--fault-rounds"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was skipped; each reason says how to have it run."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("skipped")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5} {reason}")
        other = (
            "DATABASE_URL= make test" if connection.vendor == "postgresql" else "DATABASE_URL=postgres://… make test"
        )
        terminalreporter.line(f"What belongs to the other database runs with {other}.")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tests' database, distributed where they run on a cluster."""
    if not citus.URL:
        yield
        return
    name = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        citus.make_cluster(name)
        call_command("distribute", "--shards", citus.SHARDS, stdout=io.StringIO())
    yield
    citus.drop_namesakes(name)


@pytest.fixture(autouse=True)
def open_store(settings: LazySettings) -> None:
    """Nobody is asked for a key, but by the tests about keys; nobody has called before."""
    settings.LOGSTORE_AUTH = "open"
    settings.CACHES = dict.fromkeys(settings.CACHES, settings.CACHES["process"])
    caches["process"].clear()


@pytest.fixture(autouse=True)
def quick_passwords(settings: LazySettings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def post(client: Client) -> Callable[..., Any]:
    """POST a value as JSON, or bytes as they are, to /logs/."""

    def send(body: Any, content_type: str = "application/json", **extra: Any) -> Any:
        return client.post("/logs/", body, content_type=content_type, **extra)

    return send


@pytest.fixture
def post_bytes(client: Client) -> Callable[..., Any]:
    """POST text or bytes as they are to /logs/, with headers by their names."""

    def send(body: str | bytes, content_type: str = "application/json", **headers: str) -> Any:
        data = body.encode() if isinstance(body, str) else body
        return client.generic("POST", "/logs/", data, content_type=content_type, headers=headers)

    return send


@pytest.fixture
def get(client: Client) -> Callable[..., Any]:
    """GET /logs/ with the given parameters and return the decoded answer."""

    def read(**parameters: Any) -> Any:
        answer = client.get("/logs/", parameters)
        assert answer.status_code == 200, answer.content
        return decoded(answer)

    return read


@pytest.fixture
def server_answers(client: Client) -> Client:
    """A client that is answered like the world outside: exceptions don't reach the test."""
    client.raise_request_exception = False
    return client


@pytest.fixture
def viewer(client: Client, db: None) -> Client:
    """A client of staff who may see everything and delete nothing."""
    client.force_login(a_staff_user("view_log", "view_action"))
    return client


def decoded(answer: Any) -> Any:
    """The value of an answer's JSON, streamed or not."""
    return json.loads(answer.getvalue())


@pytest.fixture(scope="session")
def migrated_url(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with migrated_database(tmp_path_factory.mktemp("template")) as url:
        yield url


@pytest.fixture
def manage(migrated_url: str, tmp_path: Path) -> CommandLine:
    """manage.py as processes beside an empty database of their own."""
    return empty_database(migrated_url, tmp_path)


@pytest.fixture
def command() -> Callable[..., str]:
    """Call a command in this process and return what it wrote on stdout."""

    def call(*arguments: object) -> str:
        stdout = io.StringIO()
        call_command(*map(str, arguments), stdout=stdout, stderr=io.StringIO())
        return stdout.getvalue()

    return call


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write bytes to a file of logs and return its path."""

    def write(content: bytes, name: str = "logs.ndjson") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write

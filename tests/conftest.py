from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client

from tests.commandline import CommandLine, empty_database, migrated_database


@pytest.fixture
def post(client: Client) -> Callable[..., HttpResponse]:
    """POST a value as JSON, or bytes as they are, to /logs/."""

    def send(body: Any, content_type: str = "application/json", **extra: Any) -> HttpResponse:
        return client.post("/logs/", body, content_type=content_type, **extra)

    return send


@pytest.fixture
def get(client: Client) -> Callable[..., Any]:
    """GET /logs/ with the given parameters and return the decoded answer."""

    def read(**parameters: Any) -> Any:
        answer = client.get("/logs/", parameters)
        assert answer.status_code == 200, answer.content
        return decoded(answer)

    return read


def decoded(answer: HttpResponse) -> Any:
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

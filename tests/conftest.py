from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from tests.builders import a_staff_user


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


@pytest.fixture
def viewer(client: Client, db: None) -> Client:
    """A client of staff who may see everything and delete nothing."""
    client.force_login(a_staff_user("view_log", "view_action"))
    return client


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()


def decoded(answer: HttpResponse) -> Any:
    """The value of an answer's JSON, streamed or not."""
    return json.loads(answer.getvalue())

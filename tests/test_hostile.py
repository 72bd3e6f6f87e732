"""What is hostile by design: never a 5xx, the contract's error body, and the store unchanged after a refusal.

What a fuzzer found is in test_corpus.py.
"""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import pytest
from django.test import Client

from tests.builders import a_click, a_log, a_navigation, a_view, stored_actions, stored_logs
from tests.targets import assert_is_error

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(settings):
    """Send a request and return the answer, having seen that a refusal is the contract's and leaves no trace."""
    settings.LOGSTORE_AUTH = "open"
    client = Client(raise_request_exception=False)

    def send(method: str = "POST", path: str = "/logs/", body: bytes = b"", **environ: Any) -> Any:
        before = stored_logs(), stored_actions()
        content_type = environ.pop("content_type", "application/json")
        answer = client.generic(method, path, body, content_type=content_type, **environ)
        content = answer.getvalue()
        if answer.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        assert answer.status_code < 500, content
        if answer.status_code >= 400:
            assert (stored_logs(), stored_actions()) == before
            if method != "HEAD":
                assert_is_error(answer.status_code, json.loads(content))
        return answer

    return send


# What a member may be exchanged for: every JSON type, and the values at the edges of the rules.
STRANGERS = [
    *(None, True, False, 0, -1, 1.5, 2**53, -(2**53), 10**400, "", " ", "0", "\0", "\ud800", "x" * 256, "x" * 2049),
    *([], [[]], [None], {}, {"": {}}, {"\0": 1}, {"a": "\ud800"}, {"__proto__": 1}),
]


def places(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every member of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for name, member in members for deeper in places(member, (*place, name)))]


BATCH = [a_log(a_click(), a_view(extra={"deep": [1]}), a_navigation())]


@pytest.mark.parametrize("place", places(BATCH), ids=lambda place: "/" + "/".join(map(str, place)))
def test_no_stranger_in_any_place_of_a_batch_breaks_the_store(ask, place):
    for stranger in STRANGERS:
        ask(body=json.dumps(_exchanged(BATCH, place, stranger)).encode())


@pytest.mark.parametrize("place", places(BATCH)[1:], ids=lambda place: "/" + "/".join(map(str, place)))
def test_a_batch_without_any_one_of_its_members_is_stored_or_refused_whole(ask, place):
    batch = copy.deepcopy(BATCH)
    del _member(batch, place[:-1])[place[-1]]
    before = stored_actions()
    answer = ask(body=json.dumps(batch).encode())
    stored = answer.json()["stored"] if answer.status_code == 200 else 0
    assert stored_actions() == before + stored


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" * 5000, "0." + "0" * 5000 + "1", "1e-999999999", "1E+99999999999999999999", "-0"]
)
@pytest.mark.parametrize("member", ["locationX", "somethingElse"])
def test_no_number_breaks_the_store(ask, number, member):
    properties = {"locationX": 1, "locationY": 2, member: "NUMBER"}
    body = json.dumps([a_log({**a_click(), "properties": properties})]).replace('"NUMBER"', number)
    ask(body=body.encode())
    assert ask("GET", QUERY_STRING="userId=ABC123XYZ").status_code == 200


@pytest.mark.parametrize("depth", [63, 64, 65, 1000, 200_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["arrays", "objects"])
def test_no_nesting_breaks_the_store(ask, depth, opening):
    closing = "]" if opening == "[" else "}"
    for inner in ("1", ""):
        ask(body=(opening * depth + inner + closing * depth).encode())
    ask(body=(opening * depth).encode())


def test_a_gzip_bomb_is_refused(ask, settings):
    bomb = gzip.compress(b" " * (settings.LOGSTORE_MAX_BODY_BYTES + 1))
    assert len(bomb) < settings.LOGSTORE_MAX_BODY_BYTES / 500
    assert ask(body=bomb, HTTP_CONTENT_ENCODING="gzip").json()["code"] == "BODY_TOO_LARGE"


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_a_gzipped_body_cut_anywhere_is_refused(ask, content_type):
    body = b"".join(json.dumps(a_log(user=str(user))).encode() + b"\n" for user in range(3))
    whole = gzip.compress(body)
    for end in range(1, len(whole)):
        answer = ask(body=whole[:end], HTTP_CONTENT_ENCODING="gzip", content_type=content_type)
        assert answer.json()["code"] == "INVALID_JSON"


def _member(value: Any, place: tuple[str | int, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


def _exchanged(batch: Any, place: tuple[str | int, ...], stranger: Any) -> Any:
    if not place:
        return stranger
    batch = copy.deepcopy(batch)
    _member(batch, place[:-1])[place[-1]] = stranger
    return batch

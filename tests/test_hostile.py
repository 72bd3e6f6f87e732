"""Whatever comes in: never a 5xx, the contract's error body, and the store unchanged after a refusal."""

from __future__ import annotations

import copy
import gzip
import json
import random
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from logs.lib.errors import ErrorCode
from tests.builders import a_click, a_log, a_navigation, a_view, stored_actions, stored_logs

pytestmark = pytest.mark.django_db

hostile = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
VALID = json.dumps([a_log(), a_log(a_click(x=-0.5), user="é\u2028", session="\\u0000")], ensure_ascii=False).encode()

TEXT = st.text(max_size=40)
# A header as it comes through WSGI: any byte but those that end it.
HEADER_VALUE = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=60)
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "QUERY"]
) | st.from_regex(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}\Z")
PATHS = st.sampled_from(["/", "/logs/", "/logs", "//logs/", "/logs/1", "/schema/", "/docs/", "/static/x", "/admin"]) | (
    TEXT.map(lambda text: "/" + text)
)
MEDIA_TYPES = st.sampled_from(
    [
        "application/json",
        "text/plain",
        "application/x-ndjson",
        "text/plain; charset=utf-8",
        "application/json; charset=utf-16",
        "application/json; charset=",
        "APPLICATION/JSON",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "*/*",
        "text/html",
        ";",
        "",
    ]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_ACCEPT": MEDIA_TYPES | HEADER_VALUE,
        "HTTP_ACCEPT_ENCODING": st.sampled_from(["gzip", "gzip;q=0", "br, *;q=0.1"]) | HEADER_VALUE,
        "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "GZIP", "identity", "gzip, gzip", "br"]) | HEADER_VALUE,
        "HTTP_IDEMPOTENCY_KEY": HEADER_VALUE,
        "HTTP_IF_NONE_MATCH": st.sampled_from(["*", 'W/"x"', '"', "W/"]) | HEADER_VALUE,
        "HTTP_HOST": st.sampled_from(["localhost", "evil.example", "localhost:x", "[::1", ""]) | HEADER_VALUE,
        "HTTP_ORIGIN": HEADER_VALUE,
        "HTTP_COOKIE": HEADER_VALUE,
        "HTTP_AUTHORIZATION": st.sampled_from(["Bearer", "Bearer  ", "Basic eDp5", "Digest"]) | HEADER_VALUE,
        "HTTP_RANGE": HEADER_VALUE,
        "HTTP_X_FORWARDED_PROTO": HEADER_VALUE,
        "HTTP_X_REQUEST_ID": HEADER_VALUE,
        "HTTP_EXPECT": st.sampled_from(["100-continue"]) | HEADER_VALUE,
        "HTTP_X_HTTP_METHOD_OVERRIDE": st.sampled_from(["PUT", "DELETE"]),
        "CONTENT_LENGTH": st.sampled_from(["", "0", "-1", "x", "1e3", "9" * 30]),
    },
)
PARAMETERS = st.sampled_from(
    ["userId", "sessionId", "from", "to", "types", "limit", "cursor", "order", "format", "key", "USERID"]
)
VALUES = TEXT | st.sampled_from(
    [
        "2018-10-18T21:37:28-06:00",
        "0000-01-01T00:00:00-06:00",
        "9999-12-31T23:59:59-06:00",
        "CLICK,VIEW",
        ",",
        "10",
        "0",
        "-1",
        "9" * 40,
        "١٢",
        "newest",
        "ndjson",
        "\0",
        "WyJvbGRlc3QiLDFd:x",
    ]
)
# Bytes as WSGI hands them over.
QUERIES = (
    st.lists(st.tuples(PARAMETERS | TEXT, VALUES), max_size=4).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode()
    )
    | st.binary(max_size=40)
).map(lambda query: query.decode("latin-1"))


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


def assert_is_error(status: int, error: dict[str, Any]) -> None:
    assert set(error) == {"success", "code", "detail", "errors"}
    assert error["success"] is False
    assert ErrorCode[error["code"]].status == status
    for violation in error["errors"]:
        assert violation["code"] in ErrorCode.__members__
        assert isinstance(violation.get("pointer", violation.get("parameter")), str)


@hostile
@given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, content_type=MEDIA_TYPES | HEADER_VALUE)
def test_no_request_line_or_header_breaks_the_store(ask, method, path, query, headers, content_type):
    ask(method, path, VALID, content_type=content_type, QUERY_STRING=query, **headers)


@hostile
@given(query=QUERIES, headers=HEADERS)
def test_no_query_breaks_the_store(ask, query, headers):
    ask("GET", QUERY_STRING=query, **headers)


def mutated(data: bytes, seed: int) -> bytes:
    """The data with a few bytes changed, dropped, doubled or cut off, the same for the same seed."""
    choose = random.Random(seed)
    changed = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        place = choose.randrange(len(changed) or 1)
        match choose.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([choose.randrange(256)])
            case 1:
                del changed[place : place + choose.randint(1, 8)]
            case 2:
                changed[place:place] = changed[place : place + choose.randint(1, 8)]
            case 3:
                changed[place:place] = choose.choice(
                    [b"\0", b"\xff", b"\\ud800", b"1e999", b"NaN", b"[" * 70, b'"', b"}"]
                )
            case _:
                del changed[place:]
    return bytes(changed)


@hostile
@given(
    seed=st.integers(0, 2**32),
    content_type=st.sampled_from(["application/json", "text/plain", "application/x-ndjson"]),
    key=st.none() | st.sampled_from(["one", "two"]),
)
def test_no_mutation_of_a_valid_body_breaks_the_store(ask, seed, content_type, key):
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    answer = ask(body=mutated(VALID, seed), content_type=content_type, **headers)
    assert answer.status_code in (200, 400, 422)


@hostile
@given(seed=st.integers(0, 2**32), level=st.integers(0, 9))
def test_no_mutation_of_a_gzipped_body_breaks_the_store(ask, seed, level):
    answer = ask(body=mutated(gzip.compress(VALID, level), seed), HTTP_CONTENT_ENCODING="gzip")
    # Some bytes of gzip's head mean nothing; a changed body does not pass its checksum.
    assert answer.status_code in (200, 400)


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


@hostile
@given(key=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=300))
@example(key="")
@example(key="x" * 256)
def test_an_idempotency_key_is_taken_or_refused_by_the_letter(ask, key):
    answer = ask(body=VALID, HTTP_IDEMPOTENCY_KEY=key)
    is_valid = 1 <= len(key) <= 255 and all(" " <= character <= "~" for character in key)
    assert answer.status_code == (200 if is_valid else 400)


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

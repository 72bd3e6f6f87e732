"""What the store does with any bytes at all: for each kind of input a property that none may break.

tests/corpus/ has the inputs that were of use, a folder for each target; test_corpus.py replays them, fuzz.py looks for
more.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from tempfile import NamedTemporaryFile
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote_from_bytes

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from logs.lib import jsontext, times
from logs.lib.errors import ErrorCode
from logs.models import Log
from logs.store import purge
from tests.builders import (
    a_click,
    a_key,
    a_log,
    a_navigation,
    a_view,
    bearer,
    store_logs,
    stored_actions,
    stored_logs,
)
from tests.readings import as_if_long, assert_readings_agree, reading

BATCH = json.dumps([a_log()]).encode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    content: bytes


class World:
    """A store with a few logs, keys and people, which the targets ask; it is made in an empty database."""

    logs = (
        a_log(a_click("2018-10-18T21:37:28-06:00"), a_view("2018-10-18T21:37:29-06:00"), user="a", session="s"),
        a_log(a_navigation("2018-10-18T21:37:28-06:00"), user="a", session="t"),
        a_log(a_view("2018-10-17T00:00:00-06:00"), a_click("2018-10-19T00:00:00-06:00"), user="b", session="s"),
        a_log(a_view("1999-12-31T23:59:59-06:00", "é"), user="+", session="\N{SNOWMAN}"),
    )

    def __init__(self) -> None:
        store_logs(*self.logs)
        purge.erase_user("somebody else", "tester")
        # Their use is not noted: it was a moment ago.
        self.keys = {scope: a_key(scope, last_used=timezone.now())[1] for scope in ("both", "ingest", "read")}
        ended = {"revoked": timezone.now(), "expires": timezone.now() - timedelta(days=1)}
        self.keys |= {name: a_key("both", **{name: moment})[1] for name, moment in ended.items()}
        self.log_page = f"/admin/logs/log/{Log.objects.order_by('id')[0].pk}/change/"
        self.client = Client(raise_request_exception=False)
        self.root = User.objects.create_superuser("root")
        self.staff = self.logged_in()

    def logged_in(self) -> Client:
        """A browser in which a superuser has just logged in."""
        client = Client(raise_request_exception=False)
        client.force_login(self.root)
        return client

    def ask(self, method: str, path: str, body: bytes = b"", by: Client | None = None, /, **environ: str) -> Answer:
        """Send a request and return its answer; a fault, a refusal of another form and one that changes something fail.

        environ: of WSGI, the QUERY_STRING above all: text of which each character is a byte.
        """
        before = stored_logs(), stored_actions()
        response = (by or self.client).generic(method, "/", body, **{"PATH_INFO": path, **environ})  # type: ignore[arg-type]
        content = response.getvalue()
        if response.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        assert response.status_code < 500, content
        if response.status_code >= 400:
            assert (stored_logs(), stored_actions()) == before
            if method != "HEAD":
                assert_is_error(response.status_code, json.loads(content))
        return Answer(response.status_code, response.headers, content)


Target = Callable[[World, bytes], None]


def assert_is_error(status: int, error: dict[str, Any]) -> None:
    assert set(error) == {"success", "code", "detail", "errors"}
    assert error["success"] is False
    assert ErrorCode[error["code"]].status == status
    for violation in error["errors"]:
        assert violation["code"] in ErrorCode.__members__
        assert isinstance(violation.get("pointer", violation.get("parameter")), str)


def merged(*batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must come back of batches that were stored one after another."""
    by_pair: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for log in (log for batch in batches for log in batch):
        by_pair.setdefault((log["userId"], log["sessionId"]), []).extend(log["actions"])
    # Sorting is stable, and the texts sort as the instants do.
    return [
        {
            "userId": user,
            "sessionId": session,
            "actions": [
                {name: action[name] for name in ("time", "type", "properties")}
                for action in sorted(actions, key=itemgetter("time"))
            ],
        }
        for (user, session), actions in by_pair.items()
    ]


# --- Bodies ----------------------------------------------------------------------------------------------------------


def _body(world: World, data: bytes, *, is_ndjson: bool) -> None:
    """A body is read alike in every way, and comes back as it was sent."""
    expected = assert_readings_agree(data, is_ndjson)
    # So short that a file of the corpus is long.
    with as_if_long(266):
        assert_readings_agree(data, is_ndjson)
    sent = {"CONTENT_TYPE": "application/x-ndjson" if is_ndjson else "text/plain"}
    # Which are gzip's first bytes.
    if not data or data.startswith(b"\x1f\x8b"):
        return
    answer = world.ask("POST", "/logs/", data, **sent)
    if isinstance(expected, str):
        assert json.loads(answer.content)["code"] == expected
    elif isinstance(expected[0], tuple):
        found = json.loads(answer.content)["errors"]
        assert [(error["code"], error["pointer"]) for error in found] == expected
    else:
        assert_comes_back(world, logs_of(data, is_ndjson))


def logs_of(data: bytes, is_ndjson: bool) -> list[Any]:
    """The logs of a valid body, by Python's own reader, each number as the text that it is."""
    lines = [line for line in data.split(b"\n") if line.strip(jsontext.BLANK)]
    values: list[Any] = list(map(_loads, lines)) if is_ndjson else _loads(data)
    return values


def assert_comes_back(world: World, logs: list[Any]) -> None:
    """GET answers what the world had, and some logs that were stored since."""
    had: list[Any] = _loads(json.dumps(world.logs))
    answer = world.ask("GET", "/logs/")
    assert json.dumps(_loads(answer.content)) == json.dumps(merged(had, logs))


def _loads(text: str | bytes) -> Any:
    return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_number)


def _number(text: str) -> dict[str, str]:
    return {"number": text}


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _gzip(world: World, data: bytes) -> None:
    """What gzip reads is taken as what it holds, with the header and without; anything else is refused."""
    codes = []
    for environ in ({"HTTP_CONTENT_ENCODING": "gzip"}, {}):
        if environ or data.startswith(b"\x1f\x8b"):
            answer = world.ask("POST", "/logs/", data, CONTENT_TYPE="application/json", **environ)
            codes.append(json.loads(answer.content).get("code"))
    assert len(set(codes)) == 1
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        assert codes[0] is not None
        return
    if content and codes[0] is None:
        assert isinstance(reading(_loads(content)), list)


def _file(world: World, data: bytes) -> None:
    """A file is imported as a POST of it would be, once; or the command says why not."""
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        is_taken = _import(file.name)
        stored = stored_logs(), stored_actions()
        assert _import(file.name) == is_taken
        _import(file.name, "--on-error=skip", "--rejects=/dev/null")
        if is_taken:
            assert (stored_logs(), stored_actions()) == stored
    text = data.removeprefix(b"\xef\xbb\xbf").strip(jsontext.BLANK)
    if not text.startswith(b"[") or any(mark in text for mark in (b"_id", b"_cls", b"\\")):
        return
    expected = assert_readings_agree(text, is_ndjson=False)
    is_valid = isinstance(expected, list) and not isinstance(expected[0], tuple)
    assert is_taken == (is_valid or expected == "NO_LOGS_PROVIDED")
    if is_valid:
        assert_comes_back(world, _loads(text))


def _import(*arguments: str) -> bool:
    try:
        call_command("importlogs", *arguments, stdout=io.StringIO(), stderr=io.StringIO())
    except CommandError:
        return False
    return True


# --- Texts -----------------------------------------------------------------------------------------------------------


def _json_text(world: World, data: bytes) -> None:
    """A JSON text is taken apart, checked and written as its value is."""
    try:
        value = jsontext.decode(data.decode())
    except ValueError:
        is_json = False
    else:
        is_json = True
        _loads(data)
    safe = jsontext.without_lone_surrogates(data)
    try:
        jsontext.check(safe)
    except ValueError:
        assert not is_json
        return
    assert is_json
    assert jsontext.decode(jsontext.compact(data).decode()) == value
    written = jsontext.encode(value)
    assert jsontext.encode(jsontext.decode(written)) == written
    if isinstance(value, str):
        assert jsontext.has_forbidden_escape(safe) == jsontext.has_forbidden_character(value)
    if isinstance(value, list):
        assert [jsontext.decode(element.decode()) for element in jsontext.elements(data)] == value
    if isinstance(value, dict):
        parts = {name: jsontext.decode(member.decode()) for name, member in jsontext.members(data)}
        assert list(parts.items()) == list(value.items())


def _time(world: World, data: bytes) -> None:
    """A time that is taken is written as it came, or as the same instant."""
    text = data.decode("latin-1")
    for any_offset in (False, True):
        with override_settings(LOGSTORE_ANY_OFFSET=any_offset):
            try:
                instant = times.parse_time(text)
            except ValueError:
                assert times.why_refused(text)
                continue
            written = times.format_time(instant)
            assert times.parse_time(written) == instant == datetime.fromisoformat(text.upper())
            assert any_offset or written == text


# --- Queries ---------------------------------------------------------------------------------------------------------


def _query(world: World, data: bytes) -> None:
    """GET /logs/ answers what a search by hand finds, whole or page by page."""
    query = data.decode("latin-1")
    answer = world.ask("GET", "/logs/", QUERY_STRING=query)
    assert world.ask("HEAD", "/logs/", QUERY_STRING=query).status == answer.status
    if answer.status != 200:
        return
    given = _given(data)
    found = _lines_or_array(answer.content, given)
    while "Link" in answer.headers:
        answer = world.ask("GET", "/logs/", QUERY_STRING=answer.headers["Link"].partition("?")[2].partition(">")[0])
        found += _lines_or_array(answer.content, given)
    if "cursor" not in given:
        assert found == _found_by_hand(world, given)[:: -1 if given.get("order") == "newest" else 1]


def _given(data: bytes) -> dict[str, str]:
    """The parameters of a query that was answered; the values of types in one."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(data.decode()):
        given[name] = f"{given[name]},{value}" if name in given else value
    return given


def _lines_or_array(content: bytes, given: dict[str, str]) -> list[Any]:
    array: list[Any] = (
        [json.loads(line) for line in content.split(b"\n") if line]
        if given.get("format") == "ndjson"
        else json.loads(content)
    )
    return array


def _found_by_hand(world: World, given: dict[str, str]) -> list[Any]:
    start, end = (given.get(name, default).replace(" ", "+") for name, default in (("from", "0"), ("to", "9999-13")))
    types = given.get("types", "CLICK,VIEW,NAVIGATE").split(",")
    logs = [
        {
            **log,
            "actions": [
                action for action in log["actions"] if start <= action["time"] <= end and action["type"] in types
            ],
        }
        for log in merged(list(world.logs))
        if given.get("userId", log["userId"]) == log["userId"]
        and given.get("sessionId", log["sessionId"]) == log["sessionId"]
    ]
    return [log for log in logs if log["actions"]]


@override_settings(LOGSTORE_MAX_WAITING=0)
def _changes(world: World, data: bytes) -> None:
    """GET /logs/changes gives every action once that a search by hand finds."""
    answer = world.ask("GET", "/logs/changes", QUERY_STRING=data.decode("latin-1"))
    if answer.status != 200:
        return
    given = _given(data)
    found: list[Any] = []
    filters = {name: given[name] for name in given if name in ("userId", "types")}
    query = "".join(f"&{name}={quote_from_bytes(value.encode())}" for name, value in filters.items())
    while True:
        if given.get("format") == "ndjson":
            *changes, position = map(json.loads, answer.content.splitlines())
        else:
            position = json.loads(answer.content)
            changes = position["changes"]
        found += [(log["userId"], log["sessionId"], action) for log in changes for action in log["actions"]]
        if not position["more"]:
            break
        form = f"format={given.get('format', 'json')}&limit={given.get('limit', 1)}"
        answer = world.ask("GET", "/logs/changes", QUERY_STRING=f"{form}&after={position['cursor']}{query}")
    expected = [
        (log["userId"], log["sessionId"], action) for log in _found_by_hand(world, filters) for action in log["actions"]
    ]
    assert sorted(map(repr, found)) == ([] if "after" in given else sorted(map(repr, expected)))


PAGES = {
    "logs": "/admin/logs/log/",
    "actions": "/admin/logs/action/",
    "export": "/admin/logs/action/export.ndjson",
    "csv": "/admin/logs/action/export.csv",
    "erasures": "/admin/logs/eraseduser/",
    "accesses": "/admin/logs/accessrecord/",
    "keys": "/admin/access/apikey/",
    "users": "/admin/auth/user/",
    "insights": "/admin/insights/",
    "login": "/admin/login/",
    **{chart: f"/admin/insights/{chart}.json" for chart in ("totals", "activity", "clicks", "flow", "views", "users")},
}


def _page(world: World, data: bytes) -> None:
    """A page of the admin, by its name or path, is shown to a superuser or refused; an export holds what is stored."""
    name, _, query = data.decode("latin-1").partition("?")
    path = PAGES.get(name, name)
    if not path.startswith("/admin/"):
        return
    answer = world.ask("GET", path, b"", world.staff, QUERY_STRING=query)
    if answer.status == 200 and name == "export":
        stored = [(log["userId"], log["sessionId"], action) for log in world.logs for action in log["actions"]]
        for line in answer.content.splitlines():
            log = json.loads(line)
            assert all((log["userId"], log["sessionId"], action) in stored for action in log["actions"])


def _form(world: World, data: bytes) -> None:
    """A form that a superuser sends to the path in the first line does its work or is refused."""
    path, _, fields = data.partition(b"\n")
    if path.startswith(b"/admin/"):
        sent = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
        world.ask("POST", path.decode("latin-1"), fields, world.logged_in(), **sent)


def _position(world: World, data: bytes) -> None:
    """A place in a list of the admin may be any JSON: it is no secret, and nobody signs it."""
    place = base64.urlsafe_b64encode(data).decode().rstrip("=")
    for path, name in ((PAGES["logs"], "after"), (PAGES["actions"], "before"), (world.log_page, "after")):
        assert world.ask("GET", path, b"", world.staff, QUERY_STRING=f"{name}={place}").status == 200


# --- Headers ---------------------------------------------------------------------------------------------------------


def _request(world: World, data: bytes) -> None:
    """Any request is answered: its line, its headers and its body, as in HTTP."""
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    line, *headers = head.decode("latin-1").split("\n")
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    environ = {"CONTENT_TYPE": "", "QUERY_STRING": query}
    for header in headers:
        name, _, value = header.partition(":")
        name = name.strip().upper().replace("-", "_")
        environ[name if name == "CONTENT_TYPE" else f"HTTP_{name}"] = value.strip()
    # What frames a body is the server's: see test_hostile_wire.py.
    for framing in ("HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"):
        environ.pop(framing, None)
    world.ask(method or "GET", f"/{path.removeprefix('/')}", body, Client(raise_request_exception=False), **environ)


def _idempotency_key(world: World, data: bytes) -> None:
    """A key is taken by the letter, in the header and in the query; with another body it is refused."""
    header = data.decode("latin-1")
    is_key = 1 <= len(data) <= 255 and all(0x20 <= byte < 0x7F for byte in data)
    places = ({"HTTP_IDEMPOTENCY_KEY": header}, {"QUERY_STRING": f"idempotencyKey={quote_from_bytes(data)}"})
    sent = {"CONTENT_TYPE": "application/json"}
    for count, place in enumerate(places):
        answer = world.ask("POST", "/logs/", BATCH, **sent, **place)
        assert answer.status == (200 if is_key else 400)
        if is_key:
            receipt = json.loads(answer.content)
            assert (receipt["stored"], receipt["duplicates"]) == ((0, 3) if count else (3, 0))
            assert world.ask("POST", "/logs/", BATCH + b" ", **sent, **place).status == 422


@override_settings(LOGSTORE_AUTH="keys")
def _authorization(world: World, data: bytes) -> None:
    """Only a live key opens the store, and does what its scope says; {both}, {ingest} and so on stand for the keys."""
    for name, text in world.keys.items():
        data = data.replace(b"{%s}" % name.encode(), text.encode())
    live = {scope: world.keys[scope].encode() in data for scope in ("both", "ingest", "read")}
    header = {"HTTP_AUTHORIZATION": data.decode("latin-1")}
    read = world.ask("GET", "/logs/", **header)
    assert read.status in (200, 401, 403)
    assert read.status != 200 or live["both"] or live["read"]
    sent = {"CONTENT_TYPE": "application/json"}
    stored = world.ask("POST", "/logs/", BATCH, **sent, **header)
    assert stored.status in (200, 401, 403)
    assert stored.status != 200 or live["both"] or live["ingest"]
    beacon = world.ask("POST", "/logs/", BATCH, QUERY_STRING=f"key={quote_from_bytes(data)}", **sent)
    assert beacon.status in (200, 401, 403)
    assert (beacon.status == 200) == (data == world.keys["ingest"].encode())
    # Nothing of what came is kept for the next caller.
    assert world.ask("GET", "/logs/").status == 401
    assert world.ask("GET", "/logs/", HTTP_AUTHORIZATION=bearer(world.keys["read"])["Authorization"]).status == 200


TARGETS: dict[str, Target] = {
    "json": partial(_body, is_ndjson=False),
    "ndjson": partial(_body, is_ndjson=True),
    "gzip": _gzip,
    "file": _file,
    "json_text": _json_text,
    "time": _time,
    "query": _query,
    "changes": _changes,
    "page": _page,
    "form": _form,
    "position": _position,
    "request": _request,
    "idempotency_key": _idempotency_key,
    "authorization": _authorization,
}


def try_out(world: World, name: str, data: bytes) -> None:
    """Raise an exception for an input that breaks a target's property; what it stored is forgotten."""
    savepoint = transaction.savepoint()
    try:
        TARGETS[name](world, data)
    finally:
        transaction.savepoint_rollback(savepoint)

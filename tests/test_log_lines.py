"""What the store writes about its requests, and what it never writes."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.db import IntegrityError, OperationalError, connection
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.test import Client

from logstore_project.logging import ConsoleFormatter, JSONFormatter
from tests.builders import a_click, a_key, a_log, a_view, bearer
from tests.server import Server

pytestmark = pytest.mark.django_db

WHAT_A_DATABASE_SAYS = "Key (user_id, session_id)=(secretuser, secretsession) already exists."
PERSONAL = ["secretuser", "secretsession", "secretproperty", "secretkey", "ls_"]


@pytest.fixture(params=[ConsoleFormatter, JSONFormatter], ids=["console", "json"])
def written(request):
    """Everything that any logger writes during the test."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(request.param())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream.getvalue
    root.removeHandler(handler)


@pytest.fixture
def lines():
    """The lines of the JSON format, decoded."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def drain(answer):
    """Read an answer to its end: a test client's close() would close the database connection too."""
    return answer.getvalue() if answer.streaming else answer.content


def personal_in(text):
    return [word for word in PERSONAL if re.search(word + r"(?!\.\.\.)", text)]


def test_every_request_has_a_line(client, lines):
    drain(client.get("/logs/?userId=ABC"))
    (line,) = lines()
    assert {name: line[name] for name in ("level", "logger", "method", "path", "status")} == {
        "level": "INFO",
        "logger": "logstore.access",
        "method": "GET",
        "path": "/logs/",
        "status": 200,
    }
    assert line["duration_ms"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_a_streamed_answer_has_its_line_at_its_end(client, lines, post):
    post([a_log()])
    answer = client.get("/logs/")
    assert len(lines()) == 1
    answer.getvalue()
    assert len(lines()) == 2


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_nobody_reads_has_a_line(client, lines):
    client.get("/logs/").close()
    assert len(lines()) == 1


def test_the_line_is_for_people_by_default(client, written):
    client.get("/nothing/secretuser")
    assert "unknown 404" in written()


def test_a_line_names_the_route_and_not_what_was_put_into_it(admin_client, lines):
    admin_client.get("/admin/access/apikey/123456/change/")
    assert lines()[-1]["path"] == "/admin/access/apikey/<path:object_id>/change/"


# --- The id of a request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/logs/", "/nothing", "/healthz", "/admin/login/"])
def test_every_answer_has_an_id_that_its_line_has_too(client, lines, path):
    ids = []
    for _ in range(2):
        answer = client.get(path)
        drain(answer)
        ids.append(answer["X-Request-ID"])
    assert len(set(ids)) == 2
    assert [line["request_id"] for line in lines()] == ids


def test_an_id_that_came_with_the_request_is_kept(client):
    assert client.get("/logs/", headers={"X-Request-ID": "Edge-1.2_3"})["X-Request-ID"] == "Edge-1.2_3"


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a\tb", "é", "<b>", "a,b"])
def test_an_id_that_is_not_short_and_harmless_is_replaced(client, given):
    kept = client.get("/logs/", headers={"X-Request-ID": given})["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", kept)


# --- What no line holds ----------------------------------------------------------------------------------------------


def test_no_line_holds_a_user_a_property_or_a_key(client, post, written, settings):
    settings.LOGSTORE_AUTH = "keys"
    _, text = a_key()
    log = a_log(a_click(), a_view(viewed_id="secretproperty"), user="secretuser", session="secretsession")
    bad = a_log(a_click(x="secretproperty"), user="secretuser")
    for headers in ({}, bearer(text), bearer(text + "x"), {"X-Request-ID": text}, {"Host": text}, {"Cookie": text}):
        for path in ("/logs/", "/logs/secretuser", "/admin/secretuser/"):
            for query in ("", "?userId=secretuser", f"?key={text}", "?secretuser=1", "?idempotencyKey=secretkey"):
                drain(client.get(f"{path}{query}", headers=headers))
                client.post(f"{path}{query}", [log], content_type="application/json", headers=headers)
                client.post(f"{path}{query}", [bad], content_type="application/json", headers=headers)
        client.post("/logs/", b"secretproperty", content_type="application/json", headers=headers)
    assert written().count("\n") >= 18
    assert personal_in(written()) == []


def test_a_forged_form_is_told_of_without_its_path(written):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/admin/secretuser/").status_code == 403
    assert "CSRF cookie not set" in written()
    assert personal_in(written()) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "https://secretuser.example/?userId=secretuser"},
        {"Referer": "http://secretuser.example/?userId=secretuser"},
        {"Origin": "https://secretuser.example"},
        {"Origin": "null", "Referer": "secretuser"},
    ],
    ids=["referer", "insecure referer", "origin", "malformed referer"],
)
def test_a_form_of_another_site_is_told_of_without_what_its_headers_say(written, headers):
    client = Client(enforce_csrf_checks=True)
    client.get("/admin/login/")
    assert client.post("/admin/login/", headers=headers, secure=True).status_code == 403
    assert re.search("Forbidden: (Origin|Referer) checking failed", written())
    assert personal_in(written()) == []


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("path", ["/logs/", "/admin/", "/nowhere/"])
def test_a_host_that_is_not_ours_is_told_of_without_its_name(client, written, settings, path, debug):
    settings.DEBUG = debug
    assert client.get(path, headers={"Host": "secretuser.example"}).status_code == 400
    refused = [line for line in written().splitlines() if "logstore.access" not in line and "GET " not in line]
    # One line, without the frames of the exception.
    assert len(refused) == 1
    assert "Refused: DisallowedHost" in refused[0]
    assert "exception" not in refused[0]
    assert personal_in(written()) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_scanner_leaves_a_line_a_request_in_a_server_s_log(tmp_path, log_format):
    with Server(tmp_path / "log", WEB_CONCURRENCY=1, LOGSTORE_LOG_FORMAT=log_format) as server:
        before = len(server.log.splitlines())
        for path in ("/", "/logs/", "/admin/", "/.env"):
            assert server.request("GET", path, headers={"Host": "secretuser.example"}).status == 400
    lines = server.log.splitlines()[before:]
    assert sum("Refused: DisallowedHost" in line for line in lines) == 4
    assert "Traceback" not in server.log
    assert "File " not in server.log
    assert "secretuser" not in server.log


@pytest.mark.parametrize(
    "error", [SuspiciousOperation, BadRequest, TooManyFieldsSent, PermissionDenied, MultiPartParserError, Http404]
)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_what_django_refuses_is_told_of_without_its_words(client, written, monkeypatch, error, level):
    def refuse(*arguments):
        raise error(PERSONAL[0])

    monkeypatch.setattr(logging.getLogger("django.request"), "level", level)
    monkeypatch.setattr("logs.api.schema.docs.DocsView.dispatch", refuse)
    assert client.get("/docs/?secretuser").status_code in (400, 403, 404)
    assert personal_in(written()) == []


def test_the_development_server_writes_no_queries():
    assert not logging.getLogger("django.server").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("error", [OperationalError, IntegrityError, ValueError])
def test_a_failure_is_told_without_what_the_database_says_of_the_row(client, post, written, error):
    def fail(*arguments):
        if "logs" in arguments[1]:
            raise error(WHAT_A_DATABASE_SAYS)
        return arguments[0](*arguments[1:])

    client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        answer = post([a_log(user="secretuser")])
    assert answer.status_code == (503 if error is OperationalError else 500)
    assert error.__name__ in written()
    assert personal_in(written() + answer.content.decode()) == []


def test_an_exception_is_told_by_its_frames_and_its_causes(written):
    try:
        try:
            raise KeyError("secretuser")
        except KeyError as error:
            raise ValueError("secretproperty") from error
    except ValueError:
        logging.getLogger("logs").exception("it failed")
    assert "it failed" in written()
    assert "builtins.KeyError" in written()
    assert "builtins.ValueError" in written()
    assert "test_an_exception_is_told_by_its_frames_and_its_causes" in written()
    # The frames quote this file, which says the words too.
    assert "KeyError: " not in written()
    assert "'secretuser'" not in written()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_server_writes_its_own_lines_the_same_way(tmp_path, log_format):
    _, text = a_key("ingest")
    body = json.dumps([a_log(user="secretuser")]).encode()
    settings = {"LOGSTORE_AUTH": "keys", "LOGSTORE_LOG_FORMAT": log_format}
    with Server(tmp_path / "log", WEB_CONCURRENCY=1, **settings) as server:
        url = f"/logs/?key={text}&idempotencyKey=secretkey"
        assert server.request("POST", url, body).status == 200
        assert server.request("POST", url, b"[]").status == 422
        assert server.send_bytes(f"POST {url} SPEAK/1.1\r\n\r\n".encode()).status == 400
        assert server.send_bytes(b'"userId": "secretuser"\r\n\r\n').status == 400
        assert server.send_bytes(f"GET / HTTP/1.1\r\nHost: x\r\nAuth orization: {text}\r\n\r\n".encode()).status == 400
        log = server.log
    assert log.count("refused what is not HTTP: ") == 3
    assert "127.0.0.1" not in log.split("Listening")[1].split("\n", 1)[1]
    assert personal_in(log) == []
    if log_format == "json":
        assert {"time", "level", "logger", "message"} <= set.intersection(
            *(set(json.loads(line)) for line in log.splitlines())
        )


def test_the_server_does_not_name_the_request_that_it_could_not_handle(tmp_path):
    with Server(tmp_path / "log", application="tests.server:fails", WEB_CONCURRENCY=1) as server:
        assert server.request("GET", "/logs/?userId=secretuser").status == 500
        log = server.log
    assert "failed to answer" in log
    assert "builtins.ValueError" in log
    assert personal_in(log) == []

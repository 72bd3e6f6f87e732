"""Errors from any address: JSON in the contract's form, and nothing of what happened inside."""

from __future__ import annotations

import json
import re

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from logs.lib.errors import ErrorCode
from logstore_project.urls import handler400, handler403, handler404, handler500  # noqa: F401
from tests.builders import a_log, refusal, stored_actions

SECRET = "password=hunter2"


def fails(request: HttpRequest, error: type[Exception]) -> HttpResponse:
    raise error(SECRET)


# This module is a URLconf, too: the store's addresses and some that fail.
urlpatterns = [
    path("", include("logs.urls")),
    path("fails/", fails, {"error": ZeroDivisionError}),
    path("away/", fails, {"error": OperationalError}),
    path("closed/", fails, {"error": InterfaceError}),
    path("denied/", fails, {"error": PermissionDenied}),
    path("suspicious/", fails, {"error": SuspiciousOperation}),
]
failing_addresses = pytest.mark.urls(__name__)


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/log/",
        "/logs/x",
        "/logs//",
        "/LOGS/",
        "/%ff",
        "/%00",
        "/static/no.css",
        "/favicon.ico",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_an_address_that_is_not_there_is_404(client, method, address):
    assert refusal(getattr(client, method)(address)) == (404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get "])
@pytest.mark.parametrize("address", ["/logs/", "/logs"])
def test_a_method_that_is_not_allowed_is_405_and_names_those_that_are(client, method, address):
    answer = client.generic(method, address)
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert set(re.split(r",\s*", answer.headers["Allow"])) == {"GET", "POST", "HEAD", "OPTIONS"}


@pytest.mark.django_db
def test_options_names_what_is_allowed(client):
    answer = client.options("/logs/")
    assert answer.status_code == 200
    assert set(re.split(r",\s*", answer.headers["Allow"])) == {"GET", "POST", "HEAD", "OPTIONS"}


@pytest.fixture
def a_static_file(settings, tmp_path):
    (tmp_path / "a.css").write_text("a {}")
    settings.STATIC_ROOT = tmp_path


def test_a_405_from_a_static_file_is_json_too(a_static_file, client):
    answer = client.post("/static/a.css")
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.django_db
def test_a_405_from_the_admin_is_json_too(admin_client):
    answer = admin_client.get("/admin/logout/")
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.django_db
def test_a_missing_page_of_the_admin_is_json_too(admin_client):
    assert refusal(admin_client.get("/admin/nothing/here/")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml",
        "image/*",
        "application/jsonx",
        "json",
        "application/json;q=0",
        "a;b*=unknown''%41",
        ";",
        "",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.django_db
def test_a_format_that_is_not_there_is_406(client, method, accept):
    extra = {"data": json.dumps([a_log()]), "content_type": "application/json"} if method == "post" else {}
    answer = getattr(client, method)("/logs/", headers={"Accept": accept}, **extra)
    assert refusal(answer) == (406, "NOT_ACCEPTABLE")
    assert stored_actions() == 0


@pytest.mark.parametrize(
    "accept, given",
    [
        ("*/*", "json"),
        ("application/*", "json"),
        ("application/json", "json"),
        ("Application/JSON", "json"),
        ("application/json; charset=utf-8", "json"),
        ("application/json; indent=4; q=0.5", "json"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "json"),
        ("application/x-ndjson", "x-ndjson"),
        ("application/x-ndjson; charset=utf-8", "x-ndjson"),
        ("application/json;q=0.5, application/x-ndjson", "x-ndjson"),
        ("application/x-ndjson;q=0.5, application/json", "json"),
        ("application/x-ndjson;q=0, */*", "json"),
        ("application/json;q=inf", "json"),
    ],
)
@pytest.mark.django_db
def test_the_preferred_format_is_given(client, accept, given):
    answer = client.get("/logs/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"application/{given}")


@pytest.mark.parametrize("host", ["evil.example", "localhost@evil", "127.0.0.1:x", "", "a b", "[::1", "é"])
@pytest.mark.parametrize("address", ["/logs/", "/admin/", "/nowhere"])
def test_a_host_that_is_not_ours_is_400(client, address, host):
    status, _ = refusal(client.get(address, HTTP_HOST=host))
    assert status == 400


@failing_addresses
def test_a_fault_of_ours_is_500_without_a_word_of_it(server_answers):
    answer = server_answers.get("/fails/", headers={"Accept": "text/html, */*"})
    assert refusal(answer) == (500, "INTERNAL_ERROR")
    assert b"hunter2" not in answer.content
    assert b"ZeroDivision" not in answer.content


@failing_addresses
@pytest.mark.parametrize("address", ["/away/", "/closed/"])
def test_a_database_that_is_away_is_503_from_any_address(server_answers, address):
    answer = server_answers.get(address)
    assert refusal(answer) == (503, "STORE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"hunter2" not in answer.content


@failing_addresses
@pytest.mark.parametrize(
    "address, expected", [("/denied/", (403, "PERMISSION_DENIED")), ("/suspicious/", (400, "INVALID_PARAMETER"))]
)
def test_what_django_refuses_is_json(server_answers, address, expected):
    answer = server_answers.get(address)
    assert refusal(answer) == expected
    assert b"hunter2" not in answer.content


def test_every_code_has_a_sentence_and_a_status_of_its_own_kind():
    # Two of one value would be one code under two names.
    assert len(ErrorCode) == len(ErrorCode.__members__)
    assert all(400 <= code.status < 600 and code.sentence.endswith(".") for code in ErrorCode)


@pytest.mark.django_db
def test_a_refusal_logs_no_personal_data(client, caplog):
    client.post("/logs/", [a_log(user="Jane Doe", session="\0")], content_type="application/json")
    client.get("/logs/", {"userId": "Jane Doe", "types": "NO"})
    assert "Jane" not in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/admin/", "/admin/login/", "/logs/"])
def test_a_cookie_with_u_0000_is_no_fault_of_the_store_s(client, address):
    client.raise_request_exception = False
    # A quoted cookie may hold any byte, spelled in octal.
    answer = client.get(address, headers={"Cookie": r'sessionid="\000bcdefghijklmn"'})
    assert answer.status_code < 400 or refusal(answer) == (400, "INVALID_CHARACTER")


def test_a_filter_of_the_admin_with_u_0000_is_no_fault_of_the_store_s(admin_client):
    admin_client.raise_request_exception = False
    answer = admin_client.get("/admin/access/apikey/?scope__exact=%00")
    assert answer.status_code == 200 or refusal(answer) == (400, "INVALID_CHARACTER")

"""Errors from any URL: JSON in the contract's form, and nothing of what happened inside."""

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
from tests.builders import a_log, a_staff_user, refusal, stored_actions
from tests.server import Server

SECRET = "password=hunter2"


def fails(request: HttpRequest, error: type[Exception]) -> HttpResponse:
    raise error(SECRET)


# This module is a URLconf, too: the store's URLs and some that fail.
urlpatterns = [
    path("", include("logstore_project.urls")),
    *(
        path(f"{start}{name}/", fails, {"error": error})
        for start in ("", "stats/")
        for name, error in {
            "fails": ZeroDivisionError,
            "away": OperationalError,
            "closed": InterfaceError,
            "denied": PermissionDenied,
            "suspicious": SuspiciousOperation,
        }.items()
    ),
]
failing_urls = pytest.mark.urls(__name__)


@pytest.fixture(params=[False, True], ids=["production", "debug"])
def either_mode(request, settings):
    """The API's errors are the same with DEBUG on, where Django has pages for them."""
    settings.DEBUG = request.param


in_either_mode = pytest.mark.usefixtures("either_mode")


@pytest.mark.parametrize(
    "url",
    [
        "/log/",
        "/LOGS/",
        "/%ff",
        "/%00",
        "/static/no.css",
        "/favicon.ico/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_a_url_that_is_not_there_is_404(client, method, url):
    assert refusal(getattr(client, method)(url)) == (404, "NOT_FOUND")


@in_either_mode
@pytest.mark.parametrize(
    "url", ["/logs/x", "/logs//", "/logs/%ff", "/logs/%00", "/stats", "/stats/x", "/healthz/", "/readyz/x", "/metrics/"]
)
@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_a_url_of_the_api_that_is_not_there_is_404(client, method, url):
    assert refusal(getattr(client, method)(url)) == (404, "NOT_FOUND")


@in_either_mode
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get "])
@pytest.mark.parametrize("url", ["/logs/", "/logs"])
def test_a_method_that_is_not_allowed_is_405_and_names_those_that_are(client, method, url):
    answer = client.generic(method, url)
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert set(re.split(r",\s*", answer.headers["Allow"])) == {"GET", "POST", "HEAD", "OPTIONS"}


@in_either_mode
@pytest.mark.parametrize("url", ["/healthz", "/readyz", "/metrics", "/schema/", "/schema"])
def test_what_can_only_be_read_answers_a_post_with_405(client, url):
    assert refusal(client.post(url, [a_log()], content_type="application/json")) == (405, "METHOD_NOT_ALLOWED")


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
@in_either_mode
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


FOREIGN_HOSTS = pytest.mark.parametrize(
    "host", ["evil.example", "localhost@evil", "127.0.0.1:x", "", "a b", "[::1", "é"]
)


@FOREIGN_HOSTS
@pytest.mark.parametrize("url", ["/admin/", "/nowhere"])
def test_a_host_that_is_not_ours_is_400(client, url, host):
    assert refusal(client.get(url, HTTP_HOST=host)) == (400, "INVALID_PARAMETER")


@in_either_mode
@FOREIGN_HOSTS
@pytest.mark.parametrize("url", ["/logs/", "/stats/", "/metrics", "/schema/"])
def test_a_host_that_is_not_ours_is_400_in_the_api(client, url, host):
    assert refusal(client.get(url, HTTP_HOST=host)) == (400, "INVALID_PARAMETER")


@failing_urls
@in_either_mode
def test_a_fault_of_ours_is_500_without_a_word_of_it(server_answers):
    answer = server_answers.get("/stats/fails/", headers={"Accept": "text/html, */*"})
    assert refusal(answer) == (500, "INTERNAL_ERROR")
    assert b"hunter2" not in answer.content
    assert b"ZeroDivision" not in answer.content


@failing_urls
def test_a_fault_of_ours_outside_the_api_is_500_too(server_answers):
    assert refusal(server_answers.get("/fails/")) == (500, "INTERNAL_ERROR")


@failing_urls
@pytest.mark.parametrize("url", ["/away/", "/closed/"])
def test_a_database_that_is_away_is_503_from_any_url(server_answers, url):
    assert refusal(server_answers.get(url)) == (503, "STORE_UNAVAILABLE")


@failing_urls
@in_either_mode
@pytest.mark.parametrize("url", ["/stats/away/", "/stats/closed/"])
def test_a_database_that_is_away_is_503_from_the_api(server_answers, url):
    answer = server_answers.get(url)
    assert refusal(answer) == (503, "STORE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"hunter2" not in answer.content


REFUSED = pytest.mark.parametrize(
    "name, expected", [("denied", (403, "PERMISSION_DENIED")), ("suspicious", (400, "INVALID_PARAMETER"))]
)


@failing_urls
@REFUSED
def test_what_django_refuses_is_json(server_answers, name, expected):
    assert refusal(server_answers.get(f"/{name}/")) == expected


@failing_urls
@in_either_mode
@REFUSED
def test_what_django_refuses_in_the_api_is_json(server_answers, name, expected):
    answer = server_answers.get(f"/stats/{name}/")
    assert refusal(answer) == expected
    assert b"hunter2" not in answer.content


@in_either_mode
@pytest.mark.django_db
@pytest.mark.parametrize(
    "body, code",
    [(b"", "NO_LOGS_PROVIDED"), (b"{", "INVALID_JSON"), (b"{}", "INVALID_BODY"), (b"[1]", "INVALID_LOG")],
    ids=["empty", "not JSON", "not an array", "no log"],
)
def test_a_body_that_is_wrong_is_400(client, body, code):
    assert refusal(client.post("/logs/", body, content_type="application/json")) == (400, code)


@in_either_mode
@pytest.mark.django_db
@pytest.mark.parametrize(
    "query, code",
    [
        ("colour=red", "UNKNOWN_PARAMETER"),
        ("limit=0", "INVALID_PARAMETER"),
        ("&".join(["a"] * 1001), "INVALID_PARAMETER"),
    ],
    ids=["unknown", "out of range", "too many"],
)
def test_a_query_that_is_wrong_is_400(client, query, code):
    assert refusal(client.get(f"/logs/?{query}")) == (400, code)


@in_either_mode
@pytest.mark.django_db
def test_a_request_without_a_key_is_401(client, settings):
    settings.LOGSTORE_AUTH = "keys"
    assert refusal(client.get("/logs/")) == (401, "NOT_AUTHENTICATED")


@pytest.mark.django_db(transaction=True)
def test_a_store_that_is_served_with_debug_on_answers_its_errors_as_ever(tmp_path):
    with Server(tmp_path / "log", DEBUG="true", WEB_CONCURRENCY=1) as server:
        answers = [
            server.request("GET", "/logs/x"),
            server.request("GET", "/stats/x", headers={"Accept": "text/html"}),
            server.request("DELETE", "/logs/"),
            server.request("POST", "/schema"),
            server.request("GET", "/logs/", headers={"Host": "evil.example"}),
            server.request("GET", "/logs/?colour=red"),
            server.request("POST", "/logs/", b"{"),
            server.request("POST", "/metrics", b"x" * 1_100_000),
        ]
    assert [answer.refusal for answer in answers] == [
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (405, "METHOD_NOT_ALLOWED"),
        (405, "METHOD_NOT_ALLOWED"),
        (400, "INVALID_PARAMETER"),
        (400, "UNKNOWN_PARAMETER"),
        (400, "INVALID_JSON"),
        (413, "BODY_TOO_LARGE"),
    ]


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
@pytest.mark.parametrize("url", ["/admin/", "/admin/login/", "/logs/"])
def test_a_cookie_with_u_0000_is_no_fault_of_the_store_s(client, url):
    client.raise_request_exception = False
    # A quoted cookie may hold any byte, spelled in octal.
    answer = client.get(url, headers={"Cookie": r'sessionid="\000bcdefghijklmn"'})
    assert answer.status_code < 400 or refusal(answer) == (400, "INVALID_CHARACTER")


def test_a_filter_of_the_admin_with_u_0000_is_no_fault_of_the_store_s(admin_client):
    admin_client.raise_request_exception = False
    answer = admin_client.get("/admin/access/apikey/?scope__exact=%00")
    assert answer.status_code == 200 or refusal(answer) == (400, "INVALID_CHARACTER")


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("url", ["/log/", "/docs/x", "/static/no.css"])
def test_a_browser_gets_a_page_for_what_is_not_there_and_a_program_the_body(client, url):
    page = client.get(url, headers=BROWSER)
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert page.headers["X-Request-ID"] in page.text
    assert "There is nothing at this URL." in page.text
    assert "Accept" in page.headers["Vary"]
    program = client.get(url, headers={"Accept": "application/json"})
    assert refusal(program) == (404, "NOT_FOUND")
    assert "Accept" in program.headers["Vary"]


@pytest.mark.django_db
def test_an_error_of_the_admin_is_a_page_with_a_way_back(client):
    client.force_login(a_staff_user())
    answer = client.get("/admin/logs/log/", headers=BROWSER)
    assert answer.status_code == 403
    assert "This is not allowed." in answer.text
    assert '<a href="/admin/">' in answer.text
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.django_db
def test_a_page_of_an_error_says_what_is_wrong_and_where_but_runs_nothing_of_it(client):
    client.force_login(a_staff_user("view_log", "view_action"))
    answer = client.get("/admin/logs/action/export.csv", {"from": "<script>"}, headers=BROWSER)
    assert answer.status_code == 400
    assert "<code>from</code>: Enter a valid date/time." in answer.text
    assert "<script>" not in answer.text


def test_an_error_for_a_program_is_never_a_page(client):
    for url in ("/logs/x", "/stats/x", "/healthz/"):
        assert refusal(client.get(url, headers=BROWSER)) == (404, "NOT_FOUND")


@failing_urls
def test_a_fault_of_ours_is_a_page_that_says_nothing_of_it(server_answers, client):
    answer = client.get("/fails/", headers=BROWSER)
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "INTERNAL_ERROR" in answer.text
    assert SECRET not in answer.text

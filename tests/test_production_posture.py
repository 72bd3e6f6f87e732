"""What the store promises to browsers and proxies once it is on the network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings as project

from tests.builders import a_log
from tests.server import Server

pytestmark = pytest.mark.django_db

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "a key of the tests alone, long enough for a real one",
    "ALLOWED_HOSTS": "logs.example.com",
    "LOGSTORE_BEHIND_PROXY": "true",
}
THROUGH_THE_PROXY = {"Host": "logs.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


def manage(*arguments, **environ):
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True)


@pytest.fixture
def empty_sqlite(tmp_path):
    return f"sqlite:///{tmp_path / 'empty.sqlite3'}"


def test_production_settings_pass_djangos_deployment_check():
    checked = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION, LOGSTORE_AUTH="open")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_deployment_check_passes_once_a_key_was_made(empty_sqlite):
    production = {**PRODUCTION, "DATABASE_URL": empty_sqlite, "LOGSTORE_AUTH": "keys"}
    assert "access.W001" in manage("check", "--deploy", **production).stderr
    assert "access.W001" in manage("check", **production).stderr
    assert manage("migrate", **production).returncode == 0
    made = manage("createapikey", "x", "--scope", "both", **production)
    assert made.stdout.splitlines()[-1].startswith("ls_")
    checked = manage("check", "--deploy", "--fail-level", "WARNING", **production)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_check_makes_no_database(empty_sqlite, tmp_path):
    manage("check", **PRODUCTION, DATABASE_URL=empty_sqlite)
    assert list(tmp_path.iterdir()) == []


def test_a_check_says_nothing_of_keys_while_the_database_is_away():
    checked = manage("check", **PRODUCTION, DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing", LOGSTORE_AUTH="keys")
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("setting", ["LOGSTORE_AUTH", "LOGSTORE_LOG_FORMAT", "LOGSTORE_RATE_LOGIN"])
def test_a_setting_with_a_value_it_can_not_take_is_named_at_the_start(setting):
    started = manage("check", **PRODUCTION, **{setting: "nonsense"})
    assert started.returncode == 1
    assert started.stderr.startswith(setting)
    assert started.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def served(tmp_path_factory, django_db_setup, django_db_blocker):
    """A store under production settings, as a proxy reaches it."""
    with (
        django_db_blocker.unblock(),
        Server(
            tmp_path_factory.mktemp("production") / "log",
            **PRODUCTION,
            LOGSTORE_AUTH="keys",
            WEB_CONCURRENCY=1,
            LOGSTORE_CORS_ORIGINS="https://shop.example.com",
        ) as server,
    ):
        yield server


def test_plain_http_is_sent_to_https(served):
    answer = served.request("GET", "/admin/login/", headers={"Host": "logs.example.com"})
    assert (answer.status, answer.headers["Location"]) == (301, "https://logs.example.com/admin/login/")


def test_every_answer_over_https_asks_for_https_from_then_on(served):
    answer = served.request("GET", "/logs/", headers=THROUGH_THE_PROXY)
    assert answer.status == 401
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"


def test_cookies_travel_over_https_alone(served):
    cookie = served.request("GET", "/admin/login/", headers=THROUGH_THE_PROXY).headers["Set-Cookie"]
    assert cookie.startswith("csrftoken=")
    assert {"Secure", "SameSite=Lax"} <= set(cookie.split("; "))


@pytest.mark.parametrize("path", ["/logs/", "/admin/login/", "/nothing", "/admin/", "/static/admin/css/base.css"])
def test_a_host_that_is_not_ours_is_refused(served, path):
    answer = served.request("GET", path, headers={**THROUGH_THE_PROXY, "Host": "evil.example.com"})
    # Static files are everybody's and name no host.
    assert answer.status == (200 if path.startswith("/static/") else 400)
    assert "evil" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_load_balancer_may_ask_for_health_by_ip_over_http(served, path):
    assert served.request("GET", path, headers={"Host": "10.0.0.1"}).status == 200


@pytest.mark.parametrize("path", ["/admin/login/", "/logs/", "/nothing"])
def test_every_answer_has_the_security_headers(client, path):
    headers = client.get(path).headers
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_pages_of_the_admin_need_nothing_that_the_policy_forbids(admin_client):
    for path in ("/admin/", "/admin/access/apikey/", "/admin/access/apikey/add/", "/admin/password_change/"):
        page = admin_client.get(path).content.decode()
        assert "<style" not in page
        assert ' style="' not in page
        assert " onclick=" not in page
        assert "<script>" not in page


def test_a_store_on_this_machine_alone_works_over_plain_http(client):
    assert not project.SECURE_SSL_REDIRECT
    answer = client.get("/admin/login/")
    assert answer.status_code == 200
    assert not answer.cookies["csrftoken"]["secure"]
    assert "Strict-Transport-Security" not in answer.headers


# --- Browsers of other origins ---------------------------------------------------------------------------------------

PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, idempotency-key",
}


def test_no_other_origin_is_let_in_by_default(client):
    answer = client.options("/logs/", headers={"Origin": "https://shop.example.com", **PREFLIGHT})
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_a_tracker_of_a_listed_origin_may_post_and_read_what_it_needs(served):
    origin = {**THROUGH_THE_PROXY, "Origin": "https://shop.example.com"}
    asked = served.request("OPTIONS", "/logs/", headers={**origin, **PREFLIGHT})
    assert asked.status == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "idempotency-key", "content-type", "content-encoding"} <= set(
        asked.headers["Access-Control-Allow-Headers"].split(", ")
    )
    answer = served.request("POST", "/logs/", b"[]", origin)
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert {"Link", "ETag", "Retry-After", "X-Request-ID"} == set(
        answer.headers["Access-Control-Expose-Headers"].split(", ")
    )
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "path, origin",
    [
        ("/logs/", "https://evil.example.com"),
        ("/admin/login/", "https://shop.example.com"),
        ("/metrics", "https://shop.example.com"),
    ],
    ids=["another origin", "the admin", "the metrics"],
)
def test_nothing_else_is_opened(served, path, origin):
    answer = served.request("GET", path, headers={**THROUGH_THE_PROXY, "Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_any_origin_is_let_in_by_a_star(client, settings):
    settings.CORS_ALLOW_ALL_ORIGINS = True
    answer = client.post(
        "/logs/", [a_log()], content_type="application/json", headers={"Origin": "https://any.example"}
    )
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*")

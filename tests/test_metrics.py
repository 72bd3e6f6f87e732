"""The metrics for Prometheus."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from django.db import IntegrityError, OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

from logs import __version__
from tests.builders import a_key, a_log, bearer
from tests.server import Server

pytestmark = pytest.mark.django_db


def samples(text):
    """Each sample of an exposition by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def risen(client):
    """How much a sample rose since the test began."""

    def read():
        return samples(client.get("/metrics").content.decode())

    before = read()
    return lambda *name: read().get(name, 0) - before.get(name, 0)


def test_the_version_that_runs_is_told(client):
    assert samples(client.get("/metrics").content.decode())["logstore_build_info", __version__] == 1


def test_requests_are_counted_by_method_route_and_status(client, post, risen):
    post([a_log()])
    client.get("/logs/").getvalue()
    assert risen("logstore_requests_total", "/logs/", "200", "POST") == 1
    assert risen("logstore_requests_total", "/logs/", "200", "GET") == 1
    assert risen("logstore_request_seconds_count", "/logs/", "GET") == 1


def test_stored_actions_are_counted_and_repeats_are_not(post, risen):
    for _ in range(2):
        post([a_log(), a_log(session="2")], headers={"Idempotency-Key": "x"})
    assert risen("logstore_actions_stored_total") == 6


def test_refusals_are_counted_by_code(client, post, risen):
    post([])
    client.get("/logs/?types=WRONG")
    client.get("/nothing")
    for code in ("NO_LOGS_PROVIDED", "INVALID_ACTION_TYPE", "NOT_FOUND"):
        assert risen("logstore_refusals_total", code) == 1


@pytest.mark.parametrize(
    "error, code",
    [(OperationalError, "STORE_UNAVAILABLE"), (IntegrityError, "INTERNAL_ERROR")],
    ids=["away", "broken"],
)
def test_a_database_error_before_an_answer_is_counted(client, risen, error, code):
    def break_off(execute, sql, *arguments):
        if "logs_action" in sql:
            raise error
        return execute(sql, *arguments)

    client.raise_request_exception = False
    with connection.execute_wrapper(break_off):
        assert client.get("/logs/").json()["code"] == code
    assert risen("logstore_database_errors_total", error.__name__) == 1
    assert risen("logstore_refusals_total", code) == 1


@pytest.mark.django_db(transaction=True)
def test_a_database_error_in_the_middle_of_an_answer_is_counted(client, post, risen):
    post([a_log(session=str(number)) for number in range(2000)])
    answer = client.get("/logs/")
    assert answer.status_code == 200
    if connection.vendor == "postgresql":
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    else:
        connection.connection.interrupt()
    with pytest.raises(OperationalError):
        answer.getvalue()
    answer.close()
    assert risen("logstore_database_errors_total", "OperationalError") == 1


def test_labels_are_never_what_a_caller_made_up(client):
    client.generic("BREW", "/secret-path")
    client.get("/logs/?userId=secret-user")
    text = client.get("/metrics").content.decode()
    assert "secret" not in text
    assert "BREW" not in text


@pytest.mark.parametrize(
    "scope, status",
    [(None, 401), ("ingest", 403), ("read", 200), ("both", 200)],
    ids=["no key", "ingest", "read", "both"],
)
def test_metrics_are_for_those_who_may_read(client, settings, scope, status):
    settings.LOGSTORE_AUTH = "keys"
    headers = bearer(a_key(scope)[1]) if scope else {}
    assert client.get("/metrics", headers=headers).status_code == status


@pytest.mark.parametrize(
    "accept, media_type",
    [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text",
        ),
        ("text/plain", "text/plain"),
        ("*/*", "text/plain"),
        ("", "text/plain"),
    ],
    ids=["prometheus", "text", "anything", "nothing"],
)
def test_prometheus_gets_the_format_it_asks_for(client, accept, media_type):
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer["Content-Type"].startswith(media_type)
    assert answer.content


@pytest.mark.parametrize("media_type", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["a.b", "1.x", "1.0.0x", "", '"1.0.0"', "é", "1.²", "9" * 5000, "1.5.é"], ids=ascii)
def test_a_version_of_the_format_that_is_none_gets_plain_text(client, media_type, version):
    answer = client.get("/metrics", headers={"Accept": f"{media_type}; version={version}"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.django_db(transaction=True)
def test_any_worker_tells_the_metrics_of_all(tmp_path):
    body = json.dumps([a_log()]).encode()
    with Server(tmp_path / "log", WEB_CONCURRENCY=2) as server:
        for _ in range(20):
            assert server.request("POST", "/logs/", body).status == 200
        for _ in range(10):
            told = samples(server.request("GET", "/metrics").text)
            assert told["logstore_actions_stored_total",] == 60
            assert told["logstore_requests_total", "/logs/", "200", "POST"] == 20

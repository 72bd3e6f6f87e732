"""API keys: what is said to whoever has none, where one may come, and how they are kept."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from logs.access.models import ApiKey
from logs.models import IdempotencyKey
from tests.builders import a_key, a_log, bearer, stored_actions

pytestmark = pytest.mark.django_db

OTHER_SECRET = "A" * 43


@pytest.fixture(autouse=True)
def asks_for_keys(open_store, settings):
    settings.LOGSTORE_AUTH = "keys"


def refusal(answer):
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def send(client):
    """Send a request as a key's holder, with a good body where there is one."""

    def send(method, headers=None, url="/logs/"):
        body = json.dumps([a_log()]) if method == "POST" else ""
        answer = client.generic(method, url, body, "application/json", headers=headers)
        if answer.streaming:
            answer.getvalue()
        return answer

    return send


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
    ],
    ids=["no header", "empty", "no key", "blank key", "another scheme"],
)
def test_a_request_without_a_key_is_told_what_to_send_and_how_to_make_one(send, method, headers):
    answer = send(method, headers)
    assert refusal(answer) == (401, "NOT_AUTHENTICATED")
    assert answer["WWW-Authenticate"] == "Bearer"
    assert "manage.py createapikey" in answer.json()["detail"]
    assert stored_actions() == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text.upper(),
        lambda text: text[:16] + OTHER_SECRET,
        lambda text: "ls_000000000000_" + text[16:],
        lambda text: "x",
        lambda text: "é" * 59,
    ],
    ids=["cut", "longer", "other case", "other secret", "other prefix", "another thing", "not ASCII"],
)
def test_a_key_that_is_not_one_of_ours_is_refused(send, spoil):
    _, text = a_key()
    answer = send("GET", {"Authorization": f"Bearer {spoil(text)}".encode().decode("latin-1")})
    assert refusal(answer) == (401, "INVALID_API_KEY")
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "ended",
    [{"revoked": timezone.now()}, {"expires": timezone.now() - timedelta(seconds=1)}],
    ids=["revoked", "expired"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_that_has_ended_is_refused(send, method, ended):
    _, text = a_key(**ended)
    assert refusal(send(method, bearer(text))) == (401, "INVALID_API_KEY")
    assert stored_actions() == 0


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_name_of_the_scheme_is_read_as_http_says(send, scheme):
    _, text = a_key("read")
    assert send("GET", {"Authorization": f"{scheme} {text}"}).status_code == 200


def test_the_key_is_asked_for_before_the_body_is_read(client):
    answer = client.post("/logs/", b"{not json", content_type="application/json")
    assert refusal(answer) == (401, "NOT_AUTHENTICATED")


def test_the_scope_is_asked_for_before_the_body_is_read(client):
    _, text = a_key("read")
    answer = client.post("/logs/", b"{not json", content_type="application/json", headers=bearer(text))
    assert refusal(answer) == (403, "PERMISSION_DENIED")


# --- ?key= -----------------------------------------------------------------------------------------------------------


def test_a_beacon_may_carry_an_ingest_key_in_its_url(client):
    _, text = a_key("ingest")
    body = json.dumps([a_log()])
    assert client.post(f"/logs/?key={text}", body, content_type="text/plain").json()["stored"] == 3


@pytest.mark.parametrize("scope", ["read", "both"])
def test_a_key_that_may_read_is_refused_in_a_url(send, scope):
    _, text = a_key(scope)
    assert refusal(send("POST", url=f"/logs/?key={text}")) == (403, "PERMISSION_DENIED")
    assert stored_actions() == 0


@pytest.mark.parametrize(
    "key, code", [("", "NOT_AUTHENTICATED"), ("ls_x", "INVALID_API_KEY")], ids=["empty", "unknown"]
)
def test_a_url_without_a_live_key_is_refused(send, key, code):
    assert refusal(send("POST", url=f"/logs/?key={key}")) == (401, code)


def test_reading_knows_no_parameter_of_that_name_and_does_not_repeat_it(send):
    _, text = a_key("read")
    answer = send("GET", bearer(text), f"/logs/?key={text}")
    assert refusal(answer) == (400, "UNKNOWN_PARAMETER")
    assert text not in answer.content.decode()


# --- Keys at rest ----------------------------------------------------------------------------------------------------


def test_the_database_holds_no_key():
    _, text = a_key()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM access_apikey")
        row = repr(cursor.fetchall())
    assert text not in row
    assert text[16:] not in row


def test_keys_have_at_least_160_random_bits():
    secrets = [a_key()[1][16:] for _ in range(20)]
    assert len(set(secrets)) == 20
    assert {len(secret) * 6 >= 160 for secret in secrets} == {True}


def test_the_use_of_a_key_is_noted(send):
    key, text = a_key()
    before = timezone.now()
    send("GET", bearer(text))
    key.refresh_from_db()
    assert before <= key.last_used <= timezone.now()


def test_the_use_of_a_key_is_noted_once_a_minute(send):
    recently, long_ago = timezone.now() - timedelta(seconds=59), timezone.now() - timedelta(seconds=61)
    for last_used, is_noted in ((recently, False), (long_ago, True)):
        key, text = a_key(last_used=last_used)
        send("GET", bearer(text))
        send("GET", bearer(text))
        key.refresh_from_db()
        assert (key.last_used > recently) is is_noted


def test_a_key_that_another_process_revokes_is_refused_a_moment_later(send, monkeypatch):
    _, text = a_key()
    assert send("GET", bearer(text)).status_code == 200
    ApiKey.objects.update(revoked=timezone.now())
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 1.001)
    assert refusal(send("GET", bearer(text))) == (401, "INVALID_API_KEY")


def test_a_key_that_is_asked_with_again_costs_no_query(send):
    _, text = a_key(last_used=timezone.now())
    assert send("GET", bearer(text)).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        assert send("GET", bearer(text)).status_code == 200
    assert not [query for query in queries if "access_apikey" in query["sql"]]


def test_a_key_expires_to_the_moment_though_it_was_asked_with_before(send):
    key, text = a_key(expires=timezone.now() + timedelta(milliseconds=300))
    assert send("GET", bearer(text)).status_code == 200
    while key.expires > timezone.now():
        time.sleep(0.02)
    assert refusal(send("GET", bearer(text))) == (401, "INVALID_API_KEY")


@pytest.fixture
def busy_writer():
    """Another connection that holds what it takes to write the key: its row, or SQLite's one place for a writer."""
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Whoever waits for it is then too late, and does not hang.
            cursor.execute("SET idle_in_transaction_session_timeout = '3s'")
        cursor.execute("BEGIN")
        yield lambda: cursor.execute("UPDATE access_apikey SET name = 'held'")
        cursor.execute("ROLLBACK")


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_to_note_the_use_of_a_key(send, busy_writer):
    key, text = a_key("read")
    busy_writer()
    started = timezone.now()
    answer = send("GET", bearer(text))
    assert answer.status_code == 200
    assert timezone.now() - started < timedelta(seconds=1)
    key.refresh_from_db()
    assert key.last_used is None


@pytest.mark.django_db(transaction=True)
def test_a_writer_still_waits_its_turn_after_the_use_of_a_key_was_noted(send):
    def busy_timeout():
        with connection.cursor() as cursor:
            return cursor.execute("PRAGMA busy_timeout").fetchone()[0]

    if connection.vendor != "sqlite":
        pytest.skip("SQLite alone is told not to wait")
    before = busy_timeout()
    _, text = a_key("read")
    assert send("GET", bearer(text)).status_code == 200
    assert busy_timeout() == before > 0


@pytest.mark.django_db(transaction=True)
def test_a_store_that_can_only_be_read_can_be_read_with_a_key(send):
    _, text = a_key("read")
    read_only, writable = {
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        "sqlite": ("PRAGMA query_only = on", "PRAGMA query_only = off"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(read_only)
        try:
            assert send("GET", bearer(text)).status_code == 200
        finally:
            cursor.execute(writable)


# --- Idempotency keys ------------------------------------------------------------------------------------------------


def test_idempotency_keys_of_different_api_keys_never_meet(post):
    first, second = bearer(a_key()[1]), bearer(a_key()[1])
    for headers in (first, second):
        assert post([a_log()], headers={**headers, "Idempotency-Key": "same"}).json()["stored"] == 3
    assert post([a_log()], headers={**first, "Idempotency-Key": "same"}).json()["duplicates"] == 3
    assert IdempotencyKey.objects.count() == 2

"""Idempotency-Key: a repeat stores nothing more."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from logs.models import IdempotencyKey
from tests.builders import a_click, a_log, a_view, at_once, gzipped, places, refusal, stored_actions, stored_logs

BATCH = [a_log(user="first"), a_log(a_click(), user="second")]
BODY = json.dumps(BATCH)


def key(value: str = "k") -> dict[str, str]:
    return {"Idempotency-Key": value}


def receipt(stored: int, duplicates: int) -> dict[str, object]:
    return {"success": True, "stored": stored, "duplicates": duplicates}


@pytest.mark.django_db
def test_a_repeat_stores_nothing_more(post_bytes):
    assert post_bytes(BODY, **key()).json() == receipt(4, 0)
    for _ in range(3):
        answer = post_bytes(BODY, **key())
        assert (answer.status_code, answer.json()) == (200, receipt(0, 4))
    assert (stored_logs(), stored_actions()) == (2, 4)


@pytest.mark.django_db
def test_the_same_body_under_another_key_is_another_batch(post_bytes):
    post_bytes(BODY, **key("one"))
    assert post_bytes(BODY, **key("One")).json() == receipt(4, 0)
    assert stored_actions() == 8


@pytest.mark.django_db
@pytest.mark.parametrize("body", [BODY + " ", json.dumps([a_log()]), "[]", "{}", "[null]"], ids=str)
def test_the_same_key_with_another_body_is_refused(post_bytes, body):
    post_bytes(BODY, **key())
    assert refusal(post_bytes(body, **key())) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert stored_actions() == 4
    assert post_bytes(BODY, **key()).json() == receipt(0, 4)


@pytest.mark.django_db
def test_sameness_is_that_of_the_decompressed_bytes(post_bytes):
    assert post_bytes(BODY, **key()).json() == receipt(4, 0)
    for level in (1, 9):
        body = gzip.compress(BODY.encode(), level)
        assert post_bytes(body, **key(), **{"Content-Encoding": "gzip"}).json() == receipt(0, 4)
    assert refusal(post_bytes(gzipped(BATCH[:1]), **key(), **{"Content-Encoding": "gzip"}))[0] == 422


@pytest.mark.django_db
def test_the_type_of_the_body_does_not_matter(post_bytes):
    post_bytes(BODY, **key())
    assert post_bytes(BODY, "text/plain", **key()).json() == receipt(0, 4)


@pytest.mark.django_db
def test_lines_may_have_a_key(post_bytes):
    body = "\n".join(json.dumps(log) for log in BATCH)
    post_bytes(body, "application/x-ndjson", **key())
    assert post_bytes(body, "application/x-ndjson", **key()).json() == receipt(0, 4)
    assert stored_actions() == 4


@pytest.mark.django_db
@pytest.mark.parametrize("bad", ["[{}]", "[", "[]", "{}", ""])
def test_a_refused_request_is_not_remembered(post_bytes, bad):
    assert post_bytes(bad, **key()).status_code == 400
    assert post_bytes(BODY, **key()).json() == receipt(4, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["x", " ", "~", "a b", "x" * 255, "\"'\\%;--", "".join(map(chr, range(0x20, 0x7F)))])
def test_a_key_is_1_to_255_printable_ascii_characters(post_bytes, value):
    assert post_bytes(BODY, **key(value)).json() == receipt(4, 0)
    assert post_bytes(BODY, **key(value)).json() == receipt(0, 4)


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["", "x" * 256, "é", "a\tb", "\x7f", "a\x00", "\xa0"], ids=ascii)
def test_another_key_is_refused(post_bytes, value):
    assert refusal(post_bytes(BODY, **key(value))) == (400, "INVALID_IDEMPOTENCY_KEY")
    assert stored_actions() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "age, expected", [(timedelta(hours=23, minutes=59), receipt(0, 4)), (timedelta(hours=25), receipt(4, 0))], ids=str
)
def test_a_key_is_forgotten_after_24_hours(post_bytes, age, expected):
    post_bytes(BODY, **key("old"))
    IdempotencyKey.objects.update(created=timezone.now() - age)
    post_bytes(BODY, **key("makes the store forget"))
    assert post_bytes(BODY, **key("old")).json() == expected


@pytest.mark.django_db
def test_a_get_pays_no_heed_to_a_key(client):
    assert client.get("/logs/", headers=key("x" * 300)).status_code == 200


# --- ?idempotencyKey= ------------------------------------------------------------------------------------------------


@pytest.fixture
def post_under(client):
    """POST a text under a key in the URL, with headers by their names."""

    def send(value: str, body: str = BODY, **headers: str):
        url = f"/logs/?{urlencode({'idempotencyKey': value})}"
        return client.generic("POST", url, body.encode(), content_type="text/plain", headers=headers)

    return send


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["x", " ", " a ", "x" * 255, "a&b=c#d+e%20", "".join(map(chr, range(0x20, 0x7F)))])
def test_a_key_in_the_url_is_one_like_that_of_the_header(post_under, post_bytes, value):
    assert post_under(value).json() == receipt(4, 0)
    assert post_under(value).json() == receipt(0, 4)
    assert post_bytes(BODY, **key(value)).json() == receipt(0, 4)
    assert refusal(post_under(value, BODY + " ")) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert stored_actions() == 4


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["", "x" * 256, "é", "a\tb", "\x7f", "a\x00", "\xa0", b"\xff"], ids=ascii)
def test_another_key_in_the_url_is_refused_at_its_parameter(post_under, value):
    answer = post_under(value)
    assert refusal(answer) == (400, "INVALID_IDEMPOTENCY_KEY")
    assert places(answer) == [("INVALID_IDEMPOTENCY_KEY", "idempotencyKey")]
    assert stored_actions() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("in_url", ["in the url", "é"])
def test_the_header_wins(post_under, post_bytes, in_url):
    assert post_under(in_url, **key("in the header")).json() == receipt(4, 0)
    assert post_bytes(BODY, **key("in the header")).json() == receipt(0, 4)
    assert refusal(post_under("fine", **key("é"))) == (400, "INVALID_IDEMPOTENCY_KEY")


@pytest.mark.django_db
def test_a_get_knows_no_such_parameter(client):
    answer = client.get("/logs/?idempotencyKey=k")
    assert places(answer) == [("UNKNOWN_PARAMETER", "idempotencyKey")]


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_store_once():
    for round_number in range(5):
        headers = key(f"race {round_number}")
        send = lambda headers=headers: Client().post("/logs/", BATCH, "application/json", headers=headers)  # noqa: E731
        answers = at_once([send] * 6)
        assert [answer.status_code for answer in answers] == [200] * 6
        assert sorted(answer.json()["stored"] for answer in answers) == [0] * 5 + [4]
        assert sorted(answer.json()["duplicates"] for answer in answers) == [0] + [4] * 5
        assert stored_actions() == 4 * (round_number + 1)


@pytest.mark.django_db(transaction=True)
def test_of_two_bodies_at_the_same_moment_one_is_stored():
    def send(number: int):
        return lambda: Client().post("/logs/", [a_log(a_view(), user=str(number))], "application/json", headers=key())

    answers = at_once([send(number) for number in range(6)])
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 5
    assert stored_actions() == 1


@pytest.mark.django_db(transaction=True)
def test_a_key_is_remembered_with_its_batch_or_not_at_all(server_answers, post_bytes):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE logs_action RENAME TO moved_away")
        try:
            assert post_bytes(BODY, **key()).status_code >= 500
        finally:
            cursor.execute("ALTER TABLE moved_away RENAME TO logs_action")
    assert (stored_logs(), IdempotencyKey.objects.count()) == (0, 0)
    assert post_bytes(BODY, **key()).json() == receipt(4, 0)

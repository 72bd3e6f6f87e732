"""POST /logs/: the bodies it takes, and what of them is kept."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from django.test import Client, RequestFactory

from logs.api.views import LogsView
from tests.builders import a_click, a_log, a_navigation, a_view, gzipped, refusal, stored_actions, stored_logs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=[False, True], ids=["production", "debug"])
def debug(request, settings):
    """With DEBUG Django's cursors are others."""
    settings.DEBUG = request.param


BATCH = [a_log(user="first"), a_log(a_click(), user="second")]
EVERYTHING_STORED = {"success": True, "stored": 4, "duplicates": 0}


@pytest.mark.parametrize("address", ["/logs/", "/logs"])
def test_a_batch_is_taken_at_either_address(client, get, address):
    answer = client.post(address, BATCH, content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, EVERYTHING_STORED)
    assert get() == BATCH


def test_the_answer_to_a_batch_is_json(post):
    assert post(BATCH).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON; Charset="UTF-8"',
        "text/plain",
        "text/plain;charset=UTF-8",
        "",
    ],
)
def test_json_is_taken_as(post_bytes, get, content_type):
    answer = post_bytes(json.dumps(BATCH), content_type)
    assert (answer.status_code, answer.json()) == (200, EVERYTHING_STORED)
    assert get() == BATCH


def test_a_body_without_a_content_type_is_read_as_json(db, get):
    body = json.dumps(BATCH).encode()
    request = RequestFactory().generic("POST", "/logs/", body)
    del request.META["CONTENT_TYPE"]
    assert LogsView.as_view()(request).status_code == 200
    assert get() == BATCH


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/html",
        "application/xml",
        "application/octet-stream",
        "application/jsonx",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "text/plain; charset=us-ascii",
        "text/plain; charset=base64",
        "application/x-ndjson; charset=iso-8859-1",
        "*/*",
        "json",
    ],
)
def test_any_other_type_or_charset_is_refused(post_bytes, content_type):
    assert refusal(post_bytes(json.dumps(BATCH), content_type)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert stored_actions() == 0


def test_a_form_is_refused(client):
    assert refusal(client.post("/logs/", {"userId": "first"})) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_gzipped_body_is_taken(post_bytes, get, content_type, encoding):
    answer = post_bytes(gzipped(BATCH), content_type, **{"Content-Encoding": encoding})
    assert answer.json() == EVERYTHING_STORED
    assert get() == BATCH


def test_a_gzip_stream_of_two_members_is_one_body(post_bytes, get):
    text = json.dumps(BATCH).encode()
    post_bytes(gzip.compress(text[:50]) + gzip.compress(text[50:]), **{"Content-Encoding": "gzip"})
    assert get() == BATCH


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "base64"])
def test_another_content_encoding_is_refused(post_bytes, encoding):
    answer = post_bytes(gzipped(BATCH), **{"Content-Encoding": encoding})
    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert stored_actions() == 0


@pytest.mark.parametrize(
    "body",
    [
        gzipped(BATCH)[:-1],
        gzipped(BATCH)[:-9],
        gzipped(BATCH)[:5],
        gzipped(BATCH)[:-8] + b"\0" * 8,
        gzipped(BATCH)[:20] + b"\xff" * 20 + gzipped(BATCH)[40:],
        gzipped(BATCH) + b"more",
        json.dumps(BATCH).encode(),
    ],
    ids=["cut by a byte", "cut in its checksum", "cut in its header", "wrong checksum", "garbled", "rest", "no gzip"],
)
def test_a_broken_gzip_stream_is_refused(post_bytes, body):
    assert refusal(post_bytes(body, **{"Content-Encoding": "gzip"})) == (400, "INVALID_JSON")
    assert stored_actions() == 0


def test_a_body_in_chunks_is_taken(get):
    request = RequestFactory().generic("POST", "/logs/", b"x", content_type="application/json")
    request.META["HTTP_TRANSFER_ENCODING"] = "chunked"
    request._stream = io.BytesIO(json.dumps(BATCH).encode())
    assert LogsView.as_view()(request).status_code == 200
    assert get() == BATCH


@pytest.mark.parametrize(
    "body",
    ["[" * 64 + "]" * 64, "[" * 65 + "]" * 65, "[" * 100_000 + "]" * 100_000, "[" * 100_000, '{"a":' * 100_000],
    ids=["64", "65", "100,000", "never closed", "objects never closed"],
)
def test_nesting_deeper_than_64_levels_is_not_json(post_bytes, body):
    expected = "INVALID_LOG" if body.count("[") == 64 else "INVALID_JSON"
    assert refusal(post_bytes(body)) == (400, expected)


def test_properties_may_be_nested_until_the_body_has_64_levels(post, get):
    # The batch, the log, its actions, the action and its properties are five of them.
    deepest = None
    for _ in range(59):
        deepest = [deepest]
    assert post([a_log(a_view(deep=deepest))]).status_code == 200
    assert get() == [a_log(a_view(deep=deepest))]
    assert refusal(post([a_log(a_view(deep=[deepest]))])) == (400, "INVALID_JSON")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[1,]",
        "[1",
        "nul",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[0x1]",
        "[1e]",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "['a']",
        '["a\tb"]',
        '["\\x"]',
        '["\\u00g0"]',
        '["\\u 123"]',
        '["\\u+123"]',
        "[] []",
        "[]x",
        "// no\n[]",
        b'["\xff"]',
        b'["\xed\xa0\x80"]',
        b"\xff\xfe[\x00]\x00",
        "[]".encode("utf-16"),
        b"\0",
        b"\x0b[]",
    ],
)
def test_what_is_not_json_is_refused(post_bytes, body):
    answer = post_bytes(body)
    assert refusal(answer) == (400, "INVALID_JSON")
    assert answer.json()["errors"] == []


@pytest.mark.parametrize("member", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_of_json_is_refused_in_properties(post_bytes, member):
    body = json.dumps([a_log(a_click())]).replace("52", member)
    assert refusal(post_bytes(body)) == (400, "INVALID_JSON")
    assert refusal(post_bytes(json.dumps([a_log(a_view(other=7))]).replace("7", member))) == (400, "INVALID_JSON")


@pytest.mark.parametrize("body", ["", "null", "[]", " [ ] "])
def test_a_body_without_logs_is_refused(post_bytes, body):
    answer = post_bytes(body)
    assert refusal(answer) == (400, "NO_LOGS_PROVIDED")
    assert answer.json()["errors"] == []


@pytest.mark.parametrize("body", ["{}", '""', '"text"', "0", "1.5", "true", "false", json.dumps(a_log())])
def test_json_that_is_not_an_array_is_refused(post_bytes, body):
    assert refusal(post_bytes(body)) == (400, "INVALID_BODY")


def test_a_later_batch_appends_to_the_log(post, get):
    post([a_log(a_click(), user="both"), a_log(a_view(), user="one")])
    post([a_log(a_view(), user="both"), a_log(a_view(), user="new")])
    assert get() == [
        a_log(a_click(), a_view(), user="both"),
        a_log(a_view(), user="one"),
        a_log(a_view(), user="new"),
    ]


def test_logs_of_the_same_pair_within_a_batch_are_one_log(post, get):
    answer = post([a_log(a_view(viewed_id=name), user=user) for name, user in ["1a", "2b", "3a", "4b", "5a"]])
    assert answer.json()["stored"] == 5
    assert get() == [
        a_log(*(a_view(viewed_id=name) for name in "135"), user="a"),
        a_log(*(a_view(viewed_id=name) for name in "24"), user="b"),
    ]


def test_the_same_batch_without_a_key_is_stored_again(post, get):
    post(BATCH)
    assert post(BATCH).json() == EVERYTHING_STORED
    assert (stored_logs(), stored_actions()) == (2, 8)


@pytest.mark.parametrize(
    "one, other",
    [("a", "A"), ("a", "a "), ("a", " a"), ("\u00e9", "e\u0301"), ("ss", "\u00df"), ("1", "01"), ("\ufb01", "fi")],
    ids=["case", "space behind", "space before", "composed", "sharp s", "zero", "ligature"],
)
@pytest.mark.parametrize("which", ["user", "session"])
def test_ids_that_look_alike_are_kept_apart(post, get, which, one, other):
    batch = [a_log(**{which: one}), a_log(**{which: other})]
    post(batch)
    assert get() == batch


def test_a_pair_is_not_its_concatenation(post, get):
    batch = [a_log(user="a", session="bc"), a_log(user="ab", session="c")]
    post(batch)
    assert get() == batch


@pytest.mark.parametrize(
    "text",
    [" ", "\t\n\r\x0b\x1f\x7f", "'\"\\;--", "\\N", "\\.", "%s%(a)s{}", "NULL", "null", "{a,b}", "\u2028\u2029",
     "\ufeff", "\ufffe\uffff",
     "\U0001f600" * 255, "\x85\xa0", "</script>", "\\u0000", "1", "1.0", "true", "[1]", "x'00'"],
)  # fmt: skip
def test_any_text_is_kept_exactly(post, get, text):
    batch = [a_log(a_view(viewed_id=text, other=text, **{text: text}), user=text, session=text)]
    assert post(batch).status_code == 200
    assert get() == batch
    assert get(userId=text) == batch


def test_other_members_of_properties_are_kept(post, get):
    others = {"": None, "a": [True, False, {"b": []}], "locationX": "not of a view", "type": "VIEW", "z": {}, "é": "ü"}
    batch = [a_log(a_view(**others))]
    post(batch)
    assert get() == batch


def test_the_members_of_properties_keep_their_order(post_bytes, client):
    properties = '{"z":1,"viewedId":"v","a":2,"Z":3}'
    body = json.dumps([a_log(a_view())]).replace(json.dumps(a_view()["properties"]), properties)
    post_bytes(body)
    assert properties in client.get("/logs/").getvalue().decode()


def test_other_members_of_a_log_and_an_action_are_ignored(post, get):
    other = {"id": 7, "other": {"a": [1]}, "\0": "\ud800", "userID": None}
    batch = [{**a_log({**a_click(), **other}), **other}]
    assert post(batch).status_code == 200
    assert get() == [a_log(a_click())]


def test_all_of_a_batch_is_stored_or_none_of_it(post):
    refused = [a_log(user="good"), a_log(a_view(), {"type": "VIEW"}, user="bad"), a_log(user="also good")]
    assert refusal(post(refused)) == (400, "MISSING_PROPERTIES_VALUE")
    assert (stored_logs(), stored_actions()) == (0, 0)


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_refused(post_bytes, settings):
    body = json.dumps([a_log()])
    settings.LOGSTORE_MAX_BODY_BYTES = len(body)
    assert post_bytes(body).status_code == 200
    assert refusal(post_bytes(body + " ")) == (413, "BODY_TOO_LARGE")
    assert stored_actions() == 3


def test_the_limit_of_a_body_is_20_mib_by_default(settings):
    assert settings.LOGSTORE_MAX_BODY_BYTES == 20 * 1024 * 1024


def test_a_gzipped_body_is_counted_after_decompression(post_bytes, settings):
    body = json.dumps([a_log(a_view(other="x" * 20_000))])
    settings.LOGSTORE_MAX_BODY_BYTES = len(body)
    assert post_bytes(gzipped(body.encode()), **{"Content-Encoding": "gzip"}).status_code == 200
    assert refusal(post_bytes(gzipped(body.encode() + b" "), **{"Content-Encoding": "gzip"}))[0] == 413
    assert stored_actions() == 1


def test_a_body_of_thousands_of_actions_is_stored_in_order(post, get):
    actions = [a_view(viewed_id=str(number)) for number in range(5_000)]
    assert post([a_log(*actions)]).json()["stored"] == 5_000
    assert get() == [a_log(*actions)]


def test_every_type_of_action_is_kept(post, get):
    post([a_log(a_click(), a_view(), a_navigation())])
    assert [action["type"] for action in get()[0]["actions"]] == ["CLICK", "VIEW", "NAVIGATE"]


def test_a_page_of_another_origin_needs_no_csrf_token():
    browser = Client(enforce_csrf_checks=True)
    assert browser.post("/logs/", json.dumps(BATCH), content_type="text/plain").status_code == 200

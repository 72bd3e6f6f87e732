"""NDJSON in and out: one log a line."""

from __future__ import annotations

import json

import pytest

from tests.builders import a_click, a_log, a_view, gzipped, places, refusal, some_logs, stored_actions

pytestmark = pytest.mark.django_db

NDJSON = "application/x-ndjson"


def lines(*values: object) -> str:
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)


@pytest.mark.parametrize(
    "body",
    [
        lines(*some_logs(2)),
        lines(*some_logs(2), ""),
        lines("", "  ", *some_logs(2), "\t", "\r", ""),
        lines(*some_logs(2)).replace("\n", "\r\n"),
    ],
    ids=["bare", "ended", "blank lines", "CRLF"],
)
def test_a_log_a_line_is_taken(post_bytes, get, body):
    assert post_bytes(body, NDJSON).json() == {"success": True, "stored": 2, "duplicates": 0}
    assert get() == some_logs(2)


def test_gzipped_lines_are_taken(post_bytes, get):
    post_bytes(gzipped(lines(*some_logs(2)).encode()), NDJSON, **{"Content-Encoding": "gzip"})
    assert get() == some_logs(2)


def test_a_line_separator_of_unicode_ends_no_line(post_bytes, get):
    log = a_log(a_view(viewed_id="a\u2028b\u0085c"))
    assert post_bytes(json.dumps(log, ensure_ascii=False), NDJSON).status_code == 200
    assert get() == [log]


@pytest.mark.parametrize("body", ["", "\n", " \n\r\n\t"])
def test_lines_that_are_all_blank_are_no_logs(post_bytes, body):
    assert refusal(post_bytes(body, NDJSON)) == (400, "NO_LOGS_PROVIDED")


def test_a_pointer_counts_every_line_from_0(post_bytes):
    answer = post_bytes(lines(a_log(), "", a_log(a_click(), a_click(x="no"))), NDJSON)
    assert places(answer) == [("INVALID_LOCATION_X_VALUE", "/2/actions/1/properties/locationX")]
    assert stored_actions() == 0


def test_each_line_that_is_not_json_is_reported_in_its_turn(post_bytes):
    answer = post_bytes(lines("{", a_log(user=7), "[", "nan", a_log(), "{} {}"), NDJSON)
    assert places(answer) == [
        ("INVALID_JSON", "/0"),
        ("INVALID_USERID", "/1/userId"),
        ("INVALID_JSON", "/2"),
        ("INVALID_JSON", "/3"),
        ("INVALID_JSON", "/5"),
    ]
    assert refusal(answer) == (400, "INVALID_JSON")
    assert stored_actions() == 0


def test_a_line_that_is_not_utf8_is_reported_at_its_line(post_bytes):
    answer = post_bytes(json.dumps(a_log()).encode() + b'\n"\xff"\n', NDJSON)
    assert places(answer) == [("INVALID_JSON", "/1")]


@pytest.mark.parametrize("depth, code", [(64, "INVALID_LOG"), (65, "INVALID_JSON"), (100_000, "INVALID_JSON")])
def test_a_line_is_nested_at_most_64_levels(post_bytes, depth, code):
    assert places(post_bytes("[" * depth + "]" * depth, NDJSON)) == [(code, "/0")]


@pytest.mark.parametrize("line", ["null", "1", '"text"', "[]", lines([a_log()])])
def test_a_line_that_is_not_an_object_is_no_log(post_bytes, line):
    assert places(post_bytes(lines(a_log(), line), NDJSON)) == [("INVALID_LOG", "/1")]


@pytest.mark.parametrize(
    "parameters, headers",
    [({"format": "ndjson"}, {}), ({}, {"Accept": NDJSON}), ({"format": "ndjson"}, {"Accept": "application/json"})],
    ids=["format", "Accept", "format before Accept"],
)
def test_an_answer_comes_one_log_a_line(client, post, parameters, headers):
    batch = [a_log(user="first"), a_log(a_view(viewed_id="a\nb"), user="second")]
    post(batch)
    answer = client.get("/logs/", parameters, headers=headers)
    text = answer.getvalue().decode()
    assert answer.headers["Content-Type"] == NDJSON
    assert text.endswith("\n")
    assert [json.loads(line) for line in text.split("\n")[:-1]] == batch


def test_an_answer_without_logs_has_no_line(client, db):
    assert client.get("/logs/", {"format": "ndjson"}).getvalue() == b""


def test_one_users_answer_comes_one_log_a_line(client, post):
    post(some_logs(2))
    answer = client.get("/logs/", {"format": "ndjson", "userId": "1"})
    assert json.loads(answer.getvalue()) == some_logs(2)[1]


def test_what_came_out_goes_in_again(client, post, post_bytes, get):
    batch = [a_log(user="first"), a_log(user="second")]
    post(batch)
    post_bytes(client.get("/logs/", {"format": "ndjson"}).getvalue(), NDJSON)
    assert get() == [{**log, "actions": sorted(log["actions"] * 2, key=lambda action: action["time"])} for log in batch]


def test_an_error_is_json_even_where_lines_are_wanted(client, db):
    answer = client.get("/logs/", {"types": "NO", "format": "ndjson"}, headers={"Accept": NDJSON})
    assert refusal(answer) == (400, "INVALID_ACTION_TYPE")

"""Times on the wire: what is a time, which instant it is, and how it comes back."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from logs.api.bodies import SMALL_BYTES
from logs.lib.errors import ErrorCode
from logs.lib.times import format_time, parse_time, why_refused
from logs.models import Action
from tests.builders import a_log, a_view, places, refusal, stored_actions

EXACT = [
    "2018-10-18T21:37:28-06:00",
    "2018-12-31T23:59:59-06:00",
    "2020-02-29T00:00:00-06:00",
    "2000-02-29T12:00:00-06:00",
    "0001-01-01T00:00:00-06:00",
    "1969-12-31T17:59:59-06:00",
    "9999-12-31T17:59:59-06:00",
]
NEVER_A_TIME = [
    "",
    "now",
    "2018-10-18",
    "2018-10-18T21:37:28",
    "2018-10-18T21:37-06:00",
    "2018-10-18 21:37:28-06:00",
    "2018-10-18T21:37:28-0600",
    "2018-10-18T21:37:28-06",
    "2018-10-18T21:37:28 -06:00",
    "2018-10-18T21:37:28-06:00 ",
    " 2018-10-18T21:37:28-06:00",
    "2018-10-18T21:37:28-06:00\n",
    "2018-10-18T21:37:28\u221206:00",
    "18-10-18T21:37:28-06:00",
    "12018-10-18T21:37:28-06:00",
    "2018-1-18T21:37:28-06:00",
    "2018-10-8T21:37:28-06:00",
    "2018-10-18T1:37:28-06:00",
    "2018-10-18T21:7:28-06:00",
    "2018-10-18T21:37:8-06:00",
    "2018-W42-4T21:37:28-06:00",
    "20181018T213728-06:00",
    "2018-02-29T00:00:00-06:00",
    "1900-02-29T00:00:00-06:00",
    "2018-04-31T00:00:00-06:00",
    "2018-00-10T00:00:00-06:00",
    "2018-13-10T00:00:00-06:00",
    "2018-10-00T00:00:00-06:00",
    "2018-10-32T00:00:00-06:00",
    "2018-10-18T24:00:00-06:00",
    "2018-10-18T21:60:00-06:00",
    "2018-10-18T21:37:60-06:00",
    "2016-12-31T17:59:60-06:00",
    "0000-01-01T00:00:00-06:00",
    "-018-10-18T21:37:28-06:00",
    "9999-12-31T18:00:00-06:00",
    "9999-12-31T23:59:59-06:00",
    "\u0662018-10-18T21:37:28-06:00",
    "\uff12018-10-18T21:37:28-06:00",
    "2018-10-18T21:37:28-06:0\u0660",
    "2018-10-18T21:37:28.-06:00",
    "2018-10-18T21:37:28.1234567-06:00",
    "2018-10-18T21:37:28,5-06:00",
    "2018-10-18T21:37:28+24:00",
    "2018-10-18T21:37:28+06:60",
    "2018-10-18T21:37:28-06:00:00",
    "2018-10-18T21:37:28ZZ",
]
# With the instant in UTC and what comes back.
ANY_OFFSET = {
    "2018-10-19T03:37:28Z": "2018-10-18T21:37:28-06:00",
    "2018-10-19t03:37:28z": "2018-10-18T21:37:28-06:00",
    "2018-10-19T03:37:28+00:00": "2018-10-18T21:37:28-06:00",
    "2018-10-19T03:37:28-00:00": "2018-10-18T21:37:28-06:00",
    "2018-10-19T09:22:28+05:45": "2018-10-18T21:37:28-06:00",
    "2018-10-18T03:38:28-23:59": "2018-10-18T21:37:28-06:00",
    "2018-10-18T21:37:28.5-06:00": "2018-10-18T21:37:28.500000-06:00",
    "2018-10-18T21:37:28.000001-06:00": "2018-10-18T21:37:28.000001-06:00",
    "2018-10-18T21:37:28.000-06:00": "2018-10-18T21:37:28-06:00",
    "0001-01-01T06:00:00Z": "0001-01-01T00:00:00-06:00",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T17:59:59.999999-06:00",
}
BEYOND_THE_CALENDAR = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T05:59:59Z",
    "0001-01-01T00:00:00+00:01",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:59-23:59",
]


@pytest.mark.parametrize("text", EXACT)
def test_a_time_is_an_instant_and_is_written_as_it_came(text):
    instant = parse_time(text)
    assert instant.utcoffset().total_seconds() == 0
    assert format_time(instant) == text


def test_the_offset_is_six_hours_behind_utc():
    assert parse_time("2018-10-18T21:37:28-06:00") == datetime(2018, 10, 19, 3, 37, 28, tzinfo=UTC)


@pytest.mark.parametrize("any_offset", [False, True], ids=["exact", "any offset"])
@pytest.mark.parametrize("text", NEVER_A_TIME, ids=ascii)
def test_what_is_no_time_is_refused(settings, text, any_offset):
    settings.LOGSTORE_ANY_OFFSET = any_offset
    with pytest.raises(ValueError, match=r"time|day|month|year|instant|range"):
        parse_time(text)


@pytest.mark.parametrize("text", [*ANY_OFFSET, *BEYOND_THE_CALENDAR])
def test_another_offset_is_refused_by_default(text):
    with pytest.raises(ValueError, match="not a time"):
        parse_time(text)


@pytest.mark.parametrize("text, written", ANY_OFFSET.items())
def test_any_offset_is_taken_where_that_is_set(settings, text, written):
    settings.LOGSTORE_ANY_OFFSET = True
    assert format_time(parse_time(text)) == written


@pytest.mark.parametrize("text", BEYOND_THE_CALENDAR)
def test_an_instant_that_cannot_be_held_or_written_back_is_refused(settings, text):
    settings.LOGSTORE_ANY_OFFSET = True
    with pytest.raises(ValueError, match="instant"):
        parse_time(text)


@pytest.mark.django_db
@pytest.mark.parametrize("text", EXACT)
def test_a_time_comes_back_as_sent(post, get, text):
    assert post([a_log(a_view(text))]).status_code == 200
    assert get() == [a_log(a_view(text))]
    assert get(**{"from": text, "to": text}) == [a_log(a_view(text))]


@pytest.mark.django_db
def test_a_time_is_stored_as_an_instant(post):
    post([a_log(a_view("2018-10-18T21:37:28-06:00"))])
    assert Action.objects.get().time == datetime(2018, 10, 19, 3, 37, 28, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize("text", [text for text in NEVER_A_TIME if text], ids=ascii)
def test_what_is_no_time_is_refused_in_a_body_and_a_query(post, client, text):
    answer = post([a_log(a_view(text))])
    assert refusal(answer) == (400, "INVALID_TIME_FORMAT")
    assert places(answer) == [("INVALID_TIME_FORMAT", "/0/actions/0/time")]
    assert stored_actions() == 0
    for parameter in ("from", "to"):
        answer = client.get("/logs/", {parameter: text})
        assert refusal(answer) == (400, "INVALID_TIME_FORMAT")
        assert places(answer) == [("INVALID_TIME_FORMAT", parameter)]


@pytest.mark.django_db
@pytest.mark.parametrize("text, written", ANY_OFFSET.items())
def test_any_offset_comes_back_at_six_hours_behind(settings, post, get, text, written):
    settings.LOGSTORE_ANY_OFFSET = True
    assert post([a_log(a_view(text))]).status_code == 200
    assert get() == [a_log(a_view(written))]
    assert get(**{"from": text, "to": text}) == [a_log(a_view(written))]


@pytest.mark.django_db
@pytest.mark.parametrize("text", BEYOND_THE_CALENDAR)
def test_an_instant_beyond_the_calendar_is_refused_in_a_body_and_a_query(settings, post, client, text):
    settings.LOGSTORE_ANY_OFFSET = True
    assert refusal(post([a_log(a_view(text))])) == (400, "INVALID_TIME_FORMAT")
    assert refusal(client.get("/logs/", {"to": text})) == (400, "INVALID_TIME_FORMAT")


@pytest.mark.django_db
def test_actions_are_in_the_order_of_their_instants_whatever_the_offset(settings, post, get):
    settings.LOGSTORE_ANY_OFFSET = True
    times = [
        "2018-10-19T00:00:00.5Z",
        "2018-10-19T02:00:00+03:00",
        "2018-10-18T18:00:00.25-06:00",
        "2018-10-19T00:00:00Z",
    ]
    post([a_log(*(a_view(time) for time in times))])
    assert [action["time"] for action in get()[0]["actions"]] == [
        "2018-10-18T17:00:00-06:00",
        "2018-10-18T18:00:00-06:00",
        "2018-10-18T18:00:00.250000-06:00",
        "2018-10-18T18:00:00.500000-06:00",
    ]


@pytest.mark.django_db
def test_fractions_stored_with_any_offset_still_come_back_without_it(settings, post, get):
    settings.LOGSTORE_ANY_OFFSET = True
    post([a_log(a_view("2018-10-19T00:00:00.5Z"))])
    settings.LOGSTORE_ANY_OFFSET = False
    assert get() == [a_log(a_view("2018-10-18T18:00:00.500000-06:00"))]


@pytest.mark.django_db
def test_a_plus_in_a_query_may_come_decoded_as_a_space(settings, post, client):
    settings.LOGSTORE_ANY_OFFSET = True
    post([a_log(a_view("2018-10-19T03:37:28+01:00"))])
    for sign in ("+", "%20", "%2B"):
        answer = client.get(f"/logs/?from=2018-10-19T03:37:28{sign}01:00&to=2018-10-19T03:37:28{sign}01:00")
        assert len(answer.getvalue()) > 2


# --- What a refused time should have been ----------------------------------------------------------------------------

ADVICE = {
    "2018-10-19T03:37:28Z": "Write this instant as 2018-10-18T21:37:28-06:00, or set LOGSTORE_ANY_OFFSET=true.",
    "2018-10-19T03:37:28.000Z": "Write this instant as 2018-10-18T21:37:28-06:00, or set LOGSTORE_ANY_OFFSET=true.",
    "2018-10-19t03:37:28z": "Write this instant as 2018-10-18T21:37:28-06:00, or set LOGSTORE_ANY_OFFSET=true.",
    "2018-10-18T21:37:28+00:00": "Write this instant as 2018-10-18T15:37:28-06:00, or set LOGSTORE_ANY_OFFSET=true.",
    "2018-10-18T21:37:28.123456-06:00": "Write this instant as 2018-10-18T21:37:28-06:00, or set"
    " LOGSTORE_ANY_OFFSET=true, which keeps 6 digits of the fraction.",
    "2018-10-19T03:37:28.999999999Z": "Write this instant as 2018-10-18T21:37:28-06:00, or set"
    " LOGSTORE_ANY_OFFSET=true, which keeps 6 digits of the fraction.",
    "0001-01-01T06:00:00Z": "Write this instant as 0001-01-01T00:00:00-06:00, or set LOGSTORE_ANY_OFFSET=true.",
    "2018-10-18T21:37:28": "The offset is missing.",
    "2018-10-18T21:37:28.123456": "The offset is missing.",
}
NAMES_AN_INSTANT = ["2018-10-18T21:37:28", "2018-10-18T21:37:28.1234567-06:00"]
WITHOUT_ADVICE = [text for text in NEVER_A_TIME + BEYOND_THE_CALENDAR if text not in NAMES_AN_INSTANT]


@pytest.mark.parametrize("text, advice", ADVICE.items())
def test_a_refusal_shows_how_the_instant_is_written(text, advice):
    assert why_refused(text) == f"{ErrorCode.INVALID_TIME_FORMAT.sentence} {advice}"


@pytest.mark.parametrize("text", WITHOUT_ADVICE, ids=ascii)
def test_a_refusal_of_what_names_no_instant_shows_nothing_of_it(text):
    assert why_refused(text) == ErrorCode.INVALID_TIME_FORMAT.sentence


@pytest.mark.parametrize("text", ANY_OFFSET)
def test_what_a_refusal_advises_is_taken(text):
    advised = re.search(r"Write this instant as (\S+),", why_refused(text))[1]
    assert parse_time(advised) == datetime.fromisoformat(text.upper()).replace(microsecond=0)


def test_with_any_offset_a_refusal_keeps_the_digits_that_the_store_keeps(settings):
    settings.LOGSTORE_ANY_OFFSET = True
    advice = "Write this instant as 2018-10-18T21:37:28.123456-06:00."
    assert why_refused("2018-10-19T03:37:28.123456789Z").endswith(advice)


WAYS = {
    "an array": ("application/json", lambda logs: json.dumps(logs)),
    "text": ("text/plain", lambda logs: json.dumps(logs)),
    "lines": ("application/x-ndjson", lambda logs: "\n".join(map(json.dumps, logs))),
    "a long array": ("application/json", lambda logs: json.dumps(logs) + " " * SMALL_BYTES),
    "properties with an escape": ("application/json", lambda logs: json.dumps(logs).replace("FDJ", "F\\u0044J")),
}


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", ["2018-10-19T03:37:28.000Z", "2018-10-18T21:37:28"])
def test_every_body_with_such_a_time_is_told(post_bytes, way, text):
    content_type, write = WAYS[way]
    answer = post_bytes(write([a_log(), a_log(a_view(), a_view(text))]), content_type)
    assert refusal(answer) == (400, "INVALID_TIME_FORMAT")
    assert places(answer) == [("INVALID_TIME_FORMAT", "/1/actions/1/time")]
    assert answer.json()["detail"] == answer.json()["errors"][0]["detail"] == why_refused(text)
    assert stored_actions() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("parameter", ["from", "to"])
@pytest.mark.parametrize("text", ["2018-10-19T03:37:28.000Z", "2018-10-18T21:37:28+00:00", "2018-10-18T21:37:28"])
def test_a_query_with_such_a_time_is_told(client, parameter, text):
    # A plus that was not encoded is a space.
    for sent in (text, text.replace("+", "%2B")):
        answer = client.get(f"/logs/?{parameter}={sent}")
        assert places(answer) == [("INVALID_TIME_FORMAT", parameter)]
        assert answer.json()["detail"] == answer.json()["errors"][0]["detail"] == why_refused(text)


@pytest.mark.django_db
def test_every_time_of_a_body_and_a_query_is_told_its_own(post, client):
    answer = post([a_log(a_view("2018-10-19T03:37:28Z"), a_view("x"), a_view("2018-10-19T03:37:29Z"))])
    assert ["21:37:28" in error["detail"] for error in answer.json()["errors"]] == [True, False, False]
    assert ["21:37:29" in error["detail"] for error in answer.json()["errors"]] == [False, False, True]
    answer = client.get("/logs/?to=2018-10-19T03:37:28Z&from=2018-10-19T03:37:27Z")
    assert ["21:37:28" in error["detail"] for error in answer.json()["errors"]] == [True, False]

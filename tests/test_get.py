"""GET /logs/: which actions an answer holds, and in which order."""

from __future__ import annotations

import pytest

from tests.builders import a_click, a_log, a_navigation, a_view

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=[False, True], ids=["production", "debug"])
def debug(request, settings):
    """With DEBUG Django's cursors are others."""
    settings.DEBUG = request.param


NOON, ONE, TWO, THREE = (f"2018-10-18T{hour}:00:00-06:00" for hour in (12, 13, 14, 15))


def test_an_empty_store_answers_an_empty_array(client):
    answer = client.get("/logs/")
    assert (answer.status_code, answer.getvalue()) == (200, b"[]")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("url", ["/logs/", "/logs"])
def test_logs_are_answered_at_either_url(client, post, url):
    post([a_log()])
    assert b"ABC123XYZ" in client.get(url).getvalue()


def test_actions_come_by_time_then_as_stored(post, get):
    late, first, second, third = a_view(TWO), a_view(ONE, "b"), a_click(ONE), a_view(ONE, "a")
    post([a_log(late, first, second)])
    post([a_log(third)])
    assert get() == [a_log(first, second, third, late)]


def test_logs_come_by_when_they_were_first_stored(post, get):
    post([a_log(a_view(THREE), user="z"), a_log(a_view(TWO), user="b")])
    post([a_log(a_view(NOON), user="a"), a_log(a_view(NOON), user="b"), a_log(a_view(ONE), user="z", session="0")])
    logs = [(log["userId"], log["sessionId"]) for log in get()]
    assert logs == [("z", "XYZ456ABC"), ("b", "XYZ456ABC"), ("a", "XYZ456ABC"), ("z", "0")]


def test_logs_of_one_user_come_by_when_they_were_first_stored(post, get):
    post([a_log(user="u", session="z"), a_log(user="u", session="a")])
    post([a_log(user="u", session="m")])
    assert [log["sessionId"] for log in get(userId="u")] == ["z", "a", "m"]


def test_newest_turns_the_logs_round_but_not_their_actions(post, get):
    post([a_log(a_view(ONE), a_view(TWO), user="first"), a_log(a_view(ONE), a_view(TWO), user="second")])
    assert get(order="newest") == list(reversed(get()))
    assert get(order="oldest") == get()


def test_a_members_order_in_an_answer_is_that_of_the_contract(client, post):
    post(
        [{"actions": [{"properties": {"viewedId": "v"}, "type": "VIEW", "time": ONE}], "sessionId": "s", "userId": "u"}]
    )
    assert client.get("/logs/").getvalue() == (
        b'[{"userId":"u","sessionId":"s","actions":[{"time":"%s","type":"VIEW","properties":{"viewedId":"v"}}]}]'
        % ONE.encode()
    )


@pytest.mark.parametrize("user", ["a", "A", "a ", " ", "%", "_", "a+b", "é", "a&b=c", "'", "\U0001f600", "0", "null"])
def test_a_user_is_chosen_exactly(post, get, user):
    users = ["a", "A", "a ", " ", "%", "_", "a+b", "é", "e\u0301", "a&b=c", "'", "\U0001f600", "0", "null", "aa"]
    post([a_log(a_view(), user=each) for each in users])
    assert get(userId=user) == [a_log(a_view(), user=user)]


def test_a_user_who_is_not_there_has_no_logs(post, get):
    post([a_log()])
    assert get(userId="nobody") == []
    assert get(userId="x" * 5_000) == []


@pytest.fixture
def four_hours(post):
    post([a_log(a_view(NOON), a_view(ONE), user="early"), a_log(a_view(TWO), a_view(THREE), user="late")])


@pytest.mark.parametrize(
    "window, expected",
    [
        ({}, [NOON, ONE, TWO, THREE]),
        ({"from": ONE}, [ONE, TWO, THREE]),
        ({"to": TWO}, [NOON, ONE, TWO]),
        ({"from": ONE, "to": TWO}, [ONE, TWO]),
        ({"from": ONE, "to": ONE}, [ONE]),
        ({"from": "2018-10-18T13:00:01-06:00"}, [TWO, THREE]),
        ({"to": "2018-10-18T13:59:59-06:00"}, [NOON, ONE]),
        ({"from": TWO, "to": ONE}, []),
        ({"from": "9999-12-31T17:59:59-06:00"}, []),
        ({"to": "0001-01-01T00:00:00-06:00"}, []),
        ({"from": TWO, "userId": "early"}, []),
        ({"from": ONE, "userId": "early"}, [ONE]),
        ({"from": ONE, "limit": "1"}, [ONE]),
        ({"from": TWO, "limit": "1"}, [TWO, THREE]),
        ({"to": ONE, "order": "newest", "limit": "1"}, [NOON, ONE]),
    ],
    ids=str,
)
def test_a_window_of_time_holds_both_its_ends(four_hours, get, window, expected):
    answer = get(**window)
    assert [action["time"] for log in answer for action in log["actions"]] == expected
    assert all(log["actions"] for log in answer)


@pytest.mark.parametrize(
    "types, expected",
    [
        ("CLICK", "CLICK"),
        ("VIEW,CLICK", "CLICK VIEW"),
        (["VIEW", "NAVIGATE"], "VIEW NAVIGATE"),
        (["VIEW,NAVIGATE", "CLICK"], "CLICK VIEW NAVIGATE"),
        ("VIEW,VIEW", "VIEW"),
        (["", "VIEW", ""], "VIEW"),
        ("", "CLICK VIEW NAVIGATE"),
        (["", ""], "CLICK VIEW NAVIGATE"),
    ],
    ids=str,
)
@pytest.mark.parametrize("user", [None, "ABC123XYZ"], ids=["everybody", "one user"])
def test_actions_of_any_wanted_type_are_answered(post, get, types, expected, user):
    post([a_log(a_click(), a_view(), a_navigation())])
    answer = get(types=types, **({"userId": user} if user else {}))
    assert [action["type"] for action in answer[0]["actions"]] == expected.split()


def test_all_filters_must_be_met(post, get):
    post([a_log(a_click(NOON), a_view(ONE), a_click(TWO), user=user) for user in "ab"])
    assert get(userId="a", types="CLICK", **{"from": ONE}) == [a_log(a_click(TWO), user="a")]


def test_a_log_of_which_no_action_matches_is_left_out(post, get):
    post([a_log(a_click(), user="clicks"), a_log(a_view(), user="views"), a_log(a_click(), a_view(), user="both")])
    assert get(types="VIEW") == [a_log(a_view(), user="views"), a_log(a_view(), user="both")]


@pytest.mark.parametrize("user", [None, "nobody"], ids=["everybody", "one user"])
@pytest.mark.parametrize("limit", [None, "5"], ids=["whole", "page"])
def test_what_matches_nothing_is_an_empty_array(post, client, user, limit):
    post([a_log(a_click())])
    parameters = {"types": "VIEW", "userId": user, "limit": limit}
    answer = client.get("/logs/", {name: value for name, value in parameters.items() if value})
    assert (answer.status_code, answer.getvalue()) == (200, b"[]")
    assert "Link" not in answer.headers


SESSIONS = [
    a_log(a_view(ONE), a_click(TWO), user="ann", session="1"),
    a_log(a_view(TWO), user="bob", session="1"),
    a_log(a_view(ONE), user="ann", session="2"),
    a_log(a_view(ONE), user="ann", session="1 "),
]


@pytest.mark.parametrize(
    "parameters, expected",
    [
        ({"sessionId": "1"}, [SESSIONS[0], SESSIONS[1]]),
        ({"sessionId": "1", "userId": "ann"}, [SESSIONS[0]]),
        ({"sessionId": "1", "order": "newest"}, [SESSIONS[1], SESSIONS[0]]),
        ({"sessionId": "1", "types": "CLICK"}, [a_log(a_click(TWO), user="ann", session="1")]),
        ({"sessionId": "1", "limit": "1"}, [SESSIONS[0]]),
        ({"sessionId": "1 "}, [SESSIONS[3]]),
        ({"sessionId": "3"}, []),
        ({"sessionId": ""}, SESSIONS),
    ],
    ids=str,
)
def test_a_session_is_found_exactly(post, get, parameters, expected):
    post(SESSIONS)
    assert get(**parameters) == expected

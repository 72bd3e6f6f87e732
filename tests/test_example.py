"""The sequence that a newcomer tries first."""

from __future__ import annotations

import pytest

from tests.builders import a_click, a_log, a_navigation, a_view, stored_actions

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_logs(post):
    early = a_log(a_click(), a_view(), a_navigation(), user="first", session="1")
    late = a_log(a_click(), a_view("2018-10-20T08:00:00-06:00"), user="second", session="2")
    assert post([early, late]).json() == {"success": True, "stored": 5, "duplicates": 0}
    return early, late


def test_everything_comes_back_as_sent(two_logs, get):
    assert get() == list(two_logs)


def test_only_the_wanted_types_come_back(two_logs, get):
    assert {action["type"] for log in get(types="CLICK,VIEW") for action in log["actions"]} == {"CLICK", "VIEW"}


def test_a_log_without_a_matching_action_is_left_out(two_logs, get):
    _, late = two_logs
    assert get(**{"from": "2018-10-19T00:00:00-06:00"}) == [{**late, "actions": late["actions"][1:]}]


def test_an_unknown_type_is_refused(client, two_logs):
    answer = client.get("/logs/?types=WRONG")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ACTION_TYPE")


def test_a_batch_with_one_bad_action_stores_nothing(post):
    third = a_navigation()
    del third["properties"]["pageTo"]
    answer = post([a_log(user="first"), a_log(a_click(), a_view(), third, user="second")])
    assert answer.status_code == 400
    assert answer.json()["code"] == "MISSING_PAGETO_VALUE"
    assert answer.json()["errors"][0]["pointer"] == "/1/actions/2/properties/pageTo"
    assert stored_actions() == 0

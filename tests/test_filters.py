"""ActionFilter works as any FilterSet does: data and a queryset in, `qs` or `errors` with the contract's codes out."""

from __future__ import annotations

import pytest

from logs.api.filters import ActionFilter
from logs.models import Action
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def some_actions():
    store_logs(
        a_log(a_click("2018-10-18T08:00:00-06:00"), a_view("2018-10-18T09:00:00-06:00"), user="ann"),
        a_log(a_navigation("2018-10-18T10:00:00-06:00"), user=" ann"),
    )


@pytest.mark.parametrize(
    "data, expected",
    [
        (None, ["CLICK", "VIEW", "NAVIGATE"]),
        ({}, ["CLICK", "VIEW", "NAVIGATE"]),
        ({"userId": "", "from": "", "to": "", "types": [""]}, ["CLICK", "VIEW", "NAVIGATE"]),
        ({"userId": "ann"}, ["CLICK", "VIEW"]),
        ({"userId": " ann"}, ["NAVIGATE"]),
        ({"types": ["CLICK,NAVIGATE"]}, ["CLICK", "NAVIGATE"]),
        ({"types": ["CLICK", "VIEW"]}, ["CLICK", "VIEW"]),
        ({"from": "2018-10-18T09:00:00-06:00"}, ["VIEW", "NAVIGATE"]),
        ({"to": "2018-10-18T09:00:00-06:00"}, ["CLICK", "VIEW"]),
        ({"from": "2018-10-18T09:00:00-06:00", "userId": "ann", "types": ["CLICK"]}, []),
    ],
    ids=str,
)
def test_the_queryset_holds_the_actions_that_match(data, expected):
    listed = ActionFilter(data, Action.objects.all())
    assert [action.type for action in listed.qs.order_by("time")] == expected


@pytest.mark.parametrize(
    "name, value, code",
    [
        ("userId", "a\0b", "INVALID_CHARACTER"),
        ("userId", "\ud800", "INVALID_CHARACTER"),
        ("from", "yesterday", "INVALID_TIME_FORMAT"),
        ("to", "2018-10-18T09:00:00Z", "INVALID_TIME_FORMAT"),
        ("types", ["click"], "INVALID_ACTION_TYPE"),
        ("types", ["CLICK,"], "INVALID_ACTION_TYPE"),
    ],
    ids=ascii,
)
def test_errors_carry_the_contracts_codes(name, value, code):
    listed = ActionFilter({name: value}, Action.objects.all())
    assert not listed.is_valid()
    assert [(place, errors[0].code) for place, errors in listed.errors.as_data().items()] == [(name, code)]

"""The short way to a user's records gives what the ORM gives, for every shape of query."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from logs.api.query import LogQuery
from logs.models import Action
from logs.store.read import fetch
from tests.builders import a_click, a_log, a_navigation, a_view

pytestmark = pytest.mark.django_db

FILTERS = {
    "userId": "userId=ABC123XYZ",
    "from": "from=2018-10-18T21:37:30-06:00",
    "to": "to=2018-10-18T21:37:34-06:00",
    "sessionId": "sessionId=1",
    "one type": "types=VIEW",
    "two types": "types=VIEW,CLICK,VIEW",
}
SHAPES = [
    shape
    for shape in chain.from_iterable(combinations(FILTERS, size) for size in range(len(FILTERS) + 1))
    if not {"one type", "two types"} <= set(shape)
]


@pytest.fixture
def some_logs(post):
    logs = [
        a_log(*(build(f"2018-10-18T21:37:{second}-06:00") for second in range(28, 38)), user=user, session=str(session))
        for user in ("ABC123XYZ", "another")
        for session, build in enumerate((a_click, a_view, a_navigation))
    ]
    assert post(logs).status_code == 200


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "+".join(shape) or "everything")
def test_every_shape_gives_the_same_records_both_ways(some_logs, shape, order):
    query_string = "&".join([f"order={order}", *(FILTERS[name] for name in shape)])
    query = LogQuery(query_string)
    expected = list(query.actions().wire_records())
    assert expected
    for _ in range(2):  # compiled, then remembered
        assert query.short_records(most=1000) == expected


def test_more_records_than_wanted_are_none_at_all(some_logs):
    assert LogQuery("userId=ABC123XYZ").short_records(most=29) is None
    assert len(LogQuery("userId=ABC123XYZ").short_records(most=30)) == 30


def test_parameters_in_another_order_than_the_orms_give_the_same_rows(some_logs):
    def build():
        return Action.objects.filter(type="VIEW", user_id="ABC123XYZ").order_by("id").values_list("user_id", "type")

    expected = list(build())
    assert len(expected) == 10
    for _ in range(2):
        assert fetch(build, ("in another order",), ["ABC123XYZ", "VIEW"]) == expected
        assert fetch(build, ("in this order",), ["VIEW", "ABC123XYZ"]) == expected

"""What funnels count, checked against each session and user read from the beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from logs.lib.times import format_time
from logs.models import Action, Log
from logs.store.days import Days
from logs.store.funnels import Step, StepKind, StepRow, dropped, funnel
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db

DAYS = Days(date(2018, 10, 18), date(2018, 10, 19))
HOME, SHOP, CART = (Step(StepKind.PAGE, name) for name in ("home", "shop", "cart"))
SHOE = Step(StepKind.VIEW, "shoe")


@pytest.fixture(autouse=True)
def any_offset(settings):
    """Times may have a fraction of a second."""
    settings.LOGSTORE_ANY_OFFSET = True


def _at(clock: str, day: int = 18) -> str:
    """A time on the wire that is so late (UTC) on a day of October 2018."""
    return format_time(datetime.fromisoformat(f"2018-10-{day:02}T{clock}+00:00"))


def _to(page: str, clock: str, day: int = 18) -> dict[str, Any]:
    return a_navigation(_at(clock, day), "elsewhere", page)


def _log_id(session: str) -> int:
    return Log.objects.get(session_id=session).id


@pytest.fixture
def three_sessions():
    store_logs(
        a_log(_to("home", "08:00:00"), _to("shop", "08:00:10"), _to("cart", "08:00:11"), user="ann", session="all"),
        a_log(_to("home", "09:00:00"), _to("shop", "09:00:30.5"), user="bob", session="two"),
        a_log(_to("cart", "10:00:00"), a_view(_at("10:00:01"), "shop"), user="bob", session="none"),
    )


def test_the_sessions_that_reach_each_step_are_counted(three_sessions):
    rows = [StepRow(2, None), StepRow(2, 10.0), StepRow(1, 1.0)]
    assert funnel(DAYS, [HOME, SHOP, CART], None, None) == rows


def test_the_users_that_reach_each_step_are_counted_over_their_sessions(three_sessions):
    rows = [StepRow(2, None), StepRow(2, 10.0), StepRow(2, 1.0)]
    assert funnel(DAYS, [HOME, SHOP, CART], None, timedelta(days=1)) == rows


def test_a_step_must_come_less_than_so_long_after_the_first(three_sessions):
    assert funnel(DAYS, [HOME, SHOP], None, timedelta(seconds=30.5)) == [StepRow(2, None), StepRow(1, 10.0)]
    longer = timedelta(seconds=30.5, microseconds=1)
    assert funnel(DAYS, [HOME, SHOP], "bob", longer) == [StepRow(1, None), StepRow(1, 30.5)]


def test_a_page_is_another_step_than_an_id_of_the_same_name(three_sessions):
    assert funnel(DAYS, [CART, Step(StepKind.VIEW, "shop")], None, None) == [StepRow(2, None), StepRow(1, 1.0)]


def test_two_equal_steps_are_two_actions():
    store_logs(a_log(_to("home", "08:00:00"), session="once"))
    store_logs(a_log(_to("home", "08:00:00"), _to("home", "08:00:00"), session="twice"))
    assert funnel(DAYS, [HOME, HOME], None, None) == [StepRow(2, None), StepRow(1, 0.0)]


def test_a_step_at_the_same_time_counts_if_it_was_stored_later():
    store_logs(a_log(_to("home", "08:00:00"), _to("shop", "08:00:00")))
    assert funnel(DAYS, [HOME, SHOP], None, None) == [StepRow(1, None), StepRow(1, 0.0)]
    assert funnel(DAYS, [SHOP, HOME], None, None) == [StepRow(1, None), StepRow(0, None)]


def test_only_actions_of_the_range_count():
    store_logs(a_log(_to("home", "23:59:59.999999", 17), _to("home", "00:00:00"), session="begins before"))
    store_logs(a_log(_to("home", "23:59:59.999999", 19), _to("shop", "00:00:00", 20), session="ends after"))
    store_logs(a_log(_to("home", "23:59:59", 17), _to("shop", "00:00:00"), session="into the range"))
    assert funnel(DAYS, [HOME, SHOP], None, None) == [StepRow(2, None), StepRow(0, None)]
    until = Days(DAYS.first, DAYS.last, datetime(2018, 10, 19, 12, tzinfo=UTC))
    assert funnel(until, [HOME, SHOP], None, None) == [StepRow(1, None), StepRow(0, None)]


def test_those_that_stop_are_named_latest_first(three_sessions):
    store_logs(a_log(_to("shop", "07:00:00"), _to("home", "11:00:00"), user="cat", session="one"))
    assert dropped(DAYS, [HOME, SHOP, CART], None, None, step=1, limit=9) == [_log_id("one")]
    assert dropped(DAYS, [HOME, SHOP, CART], None, None, step=2, limit=9) == [_log_id("two")]
    assert dropped(DAYS, [HOME, CART], None, None, step=1, limit=9) == [_log_id("one"), _log_id("two")]
    assert dropped(DAYS, [HOME, CART], None, None, step=1, limit=1) == [_log_id("one")]
    assert dropped(DAYS, [HOME, CART], None, timedelta(hours=1), step=1, limit=9) == ["cat", "bob"]


def test_of_those_that_stop_at_the_same_time_the_one_stored_last_is_named_first():
    for session in ("one", "two", "three"):
        store_logs(a_log(_to("home", "08:00:00"), session=session))
    ids = [_log_id(session) for session in ("three", "two", "one")]
    assert dropped(DAYS, [HOME, SHOP], None, None, step=1, limit=9) == ids


def test_an_empty_range_has_nobody(three_sessions):
    empty = Days(date(2019, 1, 1), date(2019, 1, 2))
    for within in (None, timedelta(days=1)):
        assert funnel(empty, [HOME, SHOP], None, within) == [StepRow(0, None), StepRow(0, None)]
        assert dropped(empty, [HOME, SHOP], None, within, step=1, limit=9) == []


def test_the_first_day_of_the_calendar_is_counted():
    store_logs(a_log(*(a_navigation(f"0001-01-02T08:00:0{second}-06:00", "a", "home") for second in range(2))))
    first = Days(date(1, 1, 2), date(1, 1, 2))
    assert funnel(first, [HOME, HOME], None, timedelta(days=9999)) == [StepRow(1, None), StepRow(1, 1.0)]


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE logs_action; --", '"%s" %(a)s 100%', "back\\slash \\u0041", "\u202egnp.exe", "x" * 2048, "é😀"],
    ids=["quote", "percent", "backslash", "right to left", "long", "wide"],
)
def test_a_step_may_have_any_name(name):
    store_logs(a_log(_to(name, "08:00:00"), a_view(_at("08:00:02"), name), _to(name[1:], "08:00:03")))
    steps = [Step(StepKind.PAGE, name), Step(StepKind.VIEW, name), Step(StepKind.PAGE, name)]
    assert funnel(DAYS, steps, None, None) == [StepRow(1, None), StepRow(1, 2.0), StepRow(0, None)]
    assert dropped(DAYS, steps, None, timedelta(days=1), step=2, limit=9) == ["ABC123XYZ"]


@pytest.mark.parametrize("user", ["o'hara", "100%s", "back\\slash", "\u202enna"])
def test_a_user_may_have_any_name(user):
    store_logs(a_log(_to("home", "08:00:00"), user=user), a_log(_to("home", "08:00:00"), user="another"))
    assert funnel(DAYS, [HOME, SHOP], user, timedelta(days=1)) == [StepRow(1, None), StepRow(0, None)]
    assert dropped(DAYS, [HOME, SHOP], user, timedelta(days=1), step=1, limit=9) == [user]


# Many at the same time, and some right around both ends of the range.
_moments = st.one_of(
    st.integers(0, 20).map(lambda half: datetime(2018, 10, 18, 23, 59, 55, tzinfo=UTC) + timedelta(seconds=half / 2)),
    st.builds(
        lambda day, microseconds: datetime(2018, 10, day, tzinfo=UTC) + timedelta(microseconds=microseconds),
        st.sampled_from([18, 20]),
        st.integers(-1, 1),
    ),
)
_actions = st.one_of(
    st.builds(lambda time, page: a_navigation(format_time(time), "a", page), _moments, st.sampled_from(["home", "b"])),
    st.builds(lambda time, name: a_view(format_time(time), name), _moments, st.sampled_from(["home", "shoe"])),
    st.builds(lambda time: a_click(format_time(time)), _moments),
)
_sessions = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.lists(_actions, min_size=1, max_size=8)), min_size=1, max_size=6
)
_steps = st.lists(st.sampled_from([HOME, Step(StepKind.PAGE, "b"), SHOE]), min_size=2, max_size=8)


@given(
    _sessions,
    st.one_of(_steps, st.just([HOME, HOME])),
    st.sampled_from([None, timedelta(microseconds=1), timedelta(seconds=1), timedelta(seconds=4.5), timedelta(days=9)]),
    st.sampled_from([None, "ann"]),
)
def test_a_funnel_agrees_with_a_plain_reading(sessions, steps, within, user_id):
    with transaction.atomic():
        for number, (user, actions) in enumerate(sessions):
            store_logs(a_log(*actions, user=user, session=str(number)))
        ways = [_way(actions, steps, within) for actions in _by_whom(user_id, within)]
        expected = []
        for step in range(len(steps)):
            taken = sorted(way[step].time - way[step - 1].time for way in ways if len(way) > step)
            median = taken[(len(taken) - 1) // 2].total_seconds() if step and taken else None
            expected.append(StepRow(len(taken), median))
        assert funnel(DAYS, steps, user_id, within) == expected
        for step in range(1, len(steps)):
            ended = sorted((way[-1] for way in ways if len(way) == step), key=lambda action: (action.time, action.id))
            ids = [action.log_id if within is None else action.user_id for action in reversed(ended)]
            assert dropped(DAYS, steps, user_id, within, step, limit=9) == ids
            assert dropped(DAYS, steps, user_id, within, step, limit=1) == ids[:1]
        transaction.set_rollback(True)


def _by_whom(user_id: str | None, within: timedelta | None) -> Iterator[list[Action]]:
    """The actions in the range of each session, or of each user, in their order."""
    start, end = DAYS.bounds

    def whose(action: Action) -> Any:
        return (action.user_id, action.log_id if within is None else 0)

    actions = sorted(Action.objects.all(), key=lambda action: (whose(action), action.time, action.id))
    inside = (action for action in actions if start <= action.time < end and user_id in (None, action.user_id))
    for _, group in groupby(inside, whose):
        yield list(group)


def _way(actions: Sequence[Action], steps: Sequence[Step], within: timedelta | None) -> list[Action]:
    """The actions that reached a step, as many as were reached."""
    way: list[Action] = []
    for action in actions:
        if len(way) == len(steps) or (way and within is not None and action.time - way[0].time >= within):
            break
        member = {"NAVIGATE": "pageTo", "VIEW": "viewedId"}.get(action.type)
        if member and (action.type, action.properties[member]) == tuple(map(str, steps[len(way)])):
            way.append(action)
    return way

"""What is counted of visits: sessions, users of each day, retention, entry and exit pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from math import ceil

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.models import Action, ActionType, Log
from logs.store import visits
from logs.store.days import Days
from logs.store.rollups import prepare
from logs.store.rows import NameRow
from logs.store.visits import (
    ACTION_BOUNDS,
    LENGTH_BOUNDS,
    Bucket,
    Ends,
    RetentionRow,
    SessionDayRow,
    Sessions,
    UserCount,
    UserDayRow,
)
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db

DAY = date(2018, 10, 18)
# Two weeks and two days.
DAYS = Days(DAY, DAY + timedelta(days=15))
TYPES = tuple(ActionType.values)


@pytest.fixture(autouse=True)
def fractions_of_a_second(settings):
    settings.LOGSTORE_ANY_OFFSET = True


def _at(clock: str, day: int = 18) -> str:
    """A time that is so late (UTC) on a day of October 2018."""
    return f"2018-10-{day:02}T{clock}Z"


def _after(seconds: float) -> str:
    return (datetime(2018, 10, 18, 12, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()


def _figures(days: Days, types=TYPES, user: str | None = None):
    """Everything there is to ask, for one user but for the retention."""
    return (
        visits.sessions(days, user),
        visits.sessions_by_day(days, user),
        visits.users(days, types, user),
        visits.users_by_day(days, types, user),
        visits.retention(days, types) if user is None else [],
        visits.ends(days, user, 2),
    )


# Around the midnights that begin or end these days or their weeks, and long before.
_moments = st.builds(
    lambda day, seconds: datetime(2018, 10, 18, tzinfo=UTC) + timedelta(days=day, seconds=seconds),
    st.sampled_from([-9, -1, 0, 1, 2, 7, 8, 14, 15, 16]),
    st.sampled_from([-3600, -1, -0.000001, 0, 0.000001, 0.5, 1, 12 * 3600]),
).map(datetime.isoformat)
_pages = st.sampled_from(["cart", "home", "shop"])
_steps = st.one_of(
    st.builds(a_click, _moments),
    st.builds(a_view, _moments),
    st.builds(a_navigation, _moments, _pages, _pages),
)
_logs = st.builds(
    lambda user, session, steps: a_log(*steps, user=user, session=session),
    st.sampled_from(["ann", "bob", "cat"]),
    st.sampled_from(["first", "second"]),
    st.lists(_steps, min_size=1, max_size=6),
)
_noon = datetime(2018, 10, 26, 12, tzinfo=UTC)


@settings(max_examples=100)
@given(
    # Of two batches the second may append to what the first has stored.
    st.lists(st.lists(_logs, max_size=4), min_size=1, max_size=2),
    st.lists(st.sampled_from(TYPES), min_size=1, unique=True),
    st.sampled_from([(None, DAYS), (_noon, DAYS), (_noon, Days(DAY, _noon.date(), _noon))]),
)
def test_every_figure_is_the_one_that_a_plain_reading_finds(monkeypatch, batches, types, moment):
    """With the rollups of days that are over, and with days that are open still."""
    now, days = moment
    with monkeypatch.context() as patched, transaction.atomic():
        if now:
            patched.setattr(timezone, "now", lambda: now)
        for batch in batches:
            if batch:
                store_logs(*batch)
        prepare(days)
        for user in (None, "ann", "bob"):
            assert _figures(days, types, user) == _plain_figures(days, types, user)
        transaction.set_rollback(True)


def _plain_figures(days: Days, types, user):
    """The same figures, from all actions read one after the other."""
    start, end = days.bounds
    of_sessions, of_users = defaultdict(list), defaultdict(list)
    for action in Action.objects.order_by("time", "id"):
        if user in (None, action.user_id):
            of_sessions[action.log_id].append(action)
            of_users[action.user_id].append(action)
    begun = [actions for actions in of_sessions.values() if start <= actions[0].time < end]
    first_days = {name: _day(actions[0]) for name, actions in of_users.items() if start <= actions[0].time < end}
    active = {
        (name, _day(action))
        for name, actions in of_users.items()
        for action in actions
        if start <= action.time < end and action.type in types
    }
    navigations = defaultdict(list)
    for log_id, actions in of_sessions.items():
        for action in actions:
            if start <= action.time < end and action.type == "NAVIGATE":
                navigations[log_id, _day(action)].append(action.properties)
    return (
        _plain_sessions(begun),
        sorted(SessionDayRow(*row) for row in Counter(_day(actions[0]) for actions in begun).items()),
        UserCount(len({name for name, _ in active}), len({name for name, _ in active if name in first_days})),
        [
            UserDayRow(
                day,
                sum(other == day for _, other in active),
                sum(other == day and first_days.get(name) == day for name, other in active),
            )
            for day in sorted({day for _, day in active})
        ],
        _plain_retention(days, first_days, active) if user is None else [],
        Ends(
            _most_frequent([found[0]["pageFrom"] for found in navigations.values()], 2),
            _most_frequent([found[-1]["pageTo"] for found in navigations.values()], 2),
        ),
    )


def _plain_sessions(begun) -> Sessions:
    lengths = sorted((actions[-1].time - actions[0].time).total_seconds() for actions in begun)
    sizes = sorted(len(actions) for actions in begun)
    return Sessions(
        total=len(begun),
        median_length=_nearest_rank(lengths, 50),
        p90_length=_nearest_rank(lengths, 90),
        mean_actions=sum(sizes) / len(begun) if begun else 0,
        median_actions=_nearest_rank(sizes, 50),
        single_page=sum(all(action.type != "NAVIGATE" for action in actions) for actions in begun),
        single_action=sizes.count(1),
        lengths=_plain_buckets(LENGTH_BOUNDS, lengths),
        actions=_plain_buckets(ACTION_BOUNDS, sizes),
    )


def _plain_retention(days: Days, first_days, active) -> list[RetentionRow]:
    cohorts = {name: (day - days.first).days // 7 for name, day in first_days.items()}
    sizes = Counter(cohorts.values())
    cells = {(cohort, 0): set() for cohort in sizes}
    for name, day in active:
        if name in cohorts:
            later = (day - days.first).days // 7 - cohorts[name]
            cells.setdefault((cohorts[name], later), set()).add(name)
    return [
        RetentionRow(days.first + timedelta(weeks=cohort), sizes[cohort], later, len(names))
        for (cohort, later), names in sorted(cells.items())
    ]


def _day(action: Action) -> date:
    return action.time.astimezone(UTC).date()


def _nearest_rank(values, percent: int):
    """The smallest of some sorted values that at least so many percent are at or below."""
    return values[ceil(len(values) * percent / 100) - 1] if values else None


def _plain_buckets(bounds, values) -> list[Bucket]:
    return [
        Bucket(
            above,
            up_to,
            sum((above is None or value > above) and (up_to is None or value <= up_to) for value in values),
        )
        for above, up_to in zip([None, *bounds], [*bounds, None], strict=True)
    ]


def _most_frequent(pages, limit: int) -> list[NameRow]:
    return [NameRow(*row) for row in sorted(Counter(pages).items(), key=lambda row: (-row[1], row[0]))[:limit]]


@pytest.mark.parametrize("user", [None, "nobody"], ids=["everybody", "one user"])
def test_an_empty_range_has_no_figures(user):
    store_logs(
        a_log(a_navigation(_at("23:59:59.999999", 17)), user="before"),
        a_log(a_navigation("2018-11-03T00:00:00Z"), user="after"),
    )
    prepare(DAYS)
    measured, *others = _figures(DAYS, user=user)
    assert measured[:7] == (0, None, None, 0, None, 0, 0)
    assert {bucket.total for bucket in [*measured.lengths, *measured.actions]} == {0}
    assert others == [[], (0, 0), [], [], Ends([], [])]


def test_the_first_and_the_last_instant_of_the_range_are_counted():
    first, last = DAYS.first, DAYS.last
    store_logs(a_log(a_view(_at("00:00:00")), user="first"), a_log(a_view("2018-11-02T23:59:59.999999Z"), user="last"))
    prepare(DAYS)
    assert visits.sessions_by_day(DAYS, None) == [(first, 1), (last, 1)]
    assert visits.users_by_day(DAYS, TYPES, None) == [(first, 1, 1), (last, 1, 1)]


def test_a_session_over_midnight_is_one_of_the_day_it_begins_and_its_user_is_new_once():
    store_logs(a_log(a_view(_at("23:59:59.999999")), a_view(_at("00:00:00", 19))))
    prepare(DAYS)
    assert visits.sessions_by_day(DAYS, None) == [(DAY, 1)]
    assert visits.sessions(DAYS, None).median_length == 0.000001
    assert visits.users_by_day(DAYS, TYPES, None) == [(DAY, 1, 1), (DAY + timedelta(days=1), 1, 0)]
    assert visits.users(DAYS, TYPES, None) == (1, 1)


def test_a_session_over_midnight_enters_and_leaves_each_day_anew():
    store_logs(
        a_log(
            a_navigation(_at("22:00:00"), "home", "shop"),
            a_navigation(_at("23:59:59"), "shop", "cart"),
            a_navigation(_at("00:00:00", 19), "cart", "till"),
            a_click(_at("00:01:00", 19)),
            a_navigation(_at("00:02:00", 19), "till", "thanks"),
        )
    )
    both = visits.ends(Days(DAY, DAY + timedelta(days=1)), None, 10)
    assert both == Ends([NameRow("cart", 1), NameRow("home", 1)], [NameRow("cart", 1), NameRow("thanks", 1)])
    assert visits.ends(Days(DAY, DAY), None, 10) == Ends([NameRow("home", 1)], [NameRow("cart", 1)])


def test_of_many_navigations_at_the_same_instant_the_first_stored_enters_and_the_last_stored_leaves():
    noon = _at("12:00:00")
    store_logs(a_log(*(a_navigation(noon, f"page {99 - n}", f"page {98 - n}") for n in range(50))))
    store_logs(a_log(*(a_navigation(noon, f"page {n}", f"page {n + 1}") for n in range(50))))
    assert visits.ends(DAYS, None, 10) == Ends([NameRow("page 99", 1)], [NameRow("page 50", 1)])
    # It still lies where it was written last, at least on PostgreSQL.
    Action.objects.filter(id=Action.objects.latest("id").id).update(id=0)
    assert visits.ends(DAYS, None, 10) == Ends([NameRow("page 49", 1)], [NameRow("page 49", 1)])


def test_pages_that_are_as_frequent_are_in_the_order_of_their_names():
    store_logs(
        *(
            a_log(a_navigation(_at("12:00:00"), f"from {n % 5}", f"to {n % 4}"), session=str(n), user=f"user {n % 3}")
            for n in reversed(range(20))
        )
    )
    entries, exits = visits.ends(DAYS, None, 3)
    assert entries == [NameRow("from 0", 4), NameRow("from 1", 4), NameRow("from 2", 4)]
    assert exits == [NameRow("to 0", 5), NameRow("to 1", 5), NameRow("to 2", 5)]


@pytest.mark.parametrize(
    "lengths, median, p90",
    [
        ([7], 7, 7),
        ([1, 2], 1, 2),
        ([1, 2, 3], 2, 3),
        (range(1, 11), 5, 9),
        (range(1, 12), 6, 10),
        ([5] * 30, 5, 5),
        ([0.25] * 9 + [0.5], 0.25, 0.25),
        ([0] * 8 + [100_000.000001] * 2, 0, 100_000.000001),
    ],
    ids=["one", "two", "three", "ten", "eleven", "all the same", "nine of ten the same", "longer than a day"],
)
def test_a_percentile_is_the_length_of_a_session_by_nearest_rank(lengths, median, p90):
    store_logs(
        *(
            a_log(a_view(_after(0)), a_view(_after(length)), session=str(number))
            for number, length in enumerate(lengths)
        )
    )
    measured = visits.sessions(DAYS, None)
    assert (measured.median_length, measured.p90_length) == (median, p90)


def test_a_bound_is_in_the_bucket_below_it():
    store_logs(
        *(
            a_log(a_view(_after(0)), a_view(_after(bound + more)), session=f"{bound} {more}")
            for bound in LENGTH_BOUNDS
            for more in (0, 0.000001)
        )
    )
    assert [bucket.total for bucket in visits.sessions(DAYS, None).lengths] == [1, 2, 2, 2, 2, 2, 2, 2, 1]
    Log.objects.all().delete()
    store_logs(
        *(
            a_log(*[a_view(_after(0))] * (bound + more), session=f"{bound} {more}")
            for bound in ACTION_BOUNDS
            for more in (0, 1)
        )
    )
    # From 1 to 2 there is nothing in between.
    assert [bucket.total for bucket in visits.sessions(DAYS, None).actions] == [1, 2, 2, 2, 2, 2, 2, 1]


def test_an_action_that_comes_late_moves_the_first_visit():
    store_logs(a_log(a_view(_at("12:00:00", 20))))
    store_logs(a_log(a_click(_at("12:00:00", 17))))
    prepare(DAYS)
    assert visits.users_by_day(DAYS, TYPES, None) == [(date(2018, 10, 20), 1, 0)]
    assert visits.users(DAYS, TYPES, None) == (1, 0)
    assert visits.sessions(DAYS, None).total == 0
    assert visits.retention(DAYS, TYPES) == []


def test_a_user_is_new_by_an_action_of_any_type_but_counted_by_one_of_the_given_types():
    store_logs(
        a_log(a_click(_at("12:00:00")), a_view(_at("12:00:00", 19)), user="ann"),
        a_log(a_click(_at("12:00:00", 17)), a_view(_at("12:00:00")), user="bob"),
    )
    prepare(DAYS)
    assert visits.users_by_day(DAYS, ["VIEW"], None) == [(DAY, 1, 0), (date(2018, 10, 19), 1, 0)]
    assert visits.users(DAYS, ["VIEW"], None) == (2, 1)
    assert visits.users(DAYS, ["NAVIGATE"], None) == (0, 0)


def test_cohorts_are_of_weeks_from_the_first_day_on():
    store_logs(
        a_log(a_view(_at("00:00:00")), a_view(_at("23:59:59", 24)), a_view(_at("00:00:00", 25)), user="ann"),
        a_log(a_view(_at("23:59:59", 24)), a_view("2018-11-02T23:59:59Z"), user="bob"),
        a_log(a_view(_at("00:00:00", 25)), user="cat"),
        a_log(a_view(_at("23:59:59", 17)), a_view(_at("12:00:00")), user="of old"),
    )
    prepare(DAYS)
    first, second = DAY, date(2018, 10, 25)
    assert visits.retention(DAYS, TYPES) == [(first, 2, 0, 2), (first, 2, 1, 1), (first, 2, 2, 1), (second, 1, 0, 1)]


def test_a_cohort_has_its_size_even_if_nobody_of_it_is_active():
    store_logs(a_log(a_view(_at("12:00:00")), a_click(_at("12:00:00", 26))))
    prepare(DAYS)
    assert visits.retention(DAYS, ["NAVIGATE"]) == [(DAY, 1, 0, 0)]
    assert visits.retention(DAYS, ["CLICK"]) == [(DAY, 1, 0, 0), (DAY, 1, 1, 1)]

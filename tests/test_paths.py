"""Which paths and pages are counted, checked against each session read from the beginning."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from logs.lib.times import format_time
from logs.models import Action
from logs.store.days import Days
from logs.store.paths import PageRow, PathRow, one_page, paths
from logs.store.rollups import prepare
from logs.store.rows import NameRow
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db

DAYS = Days(date(2018, 10, 18), date(2018, 10, 19))
EMPTY = Days(date(2019, 1, 1), date(2019, 1, 2))


@pytest.fixture(autouse=True)
def any_offset(settings):
    """Times may have a fraction of a second."""
    settings.LOGSTORE_ANY_OFFSET = True


def _at(clock: str, day: int = 18) -> str:
    """A time on the wire that is so late (UTC) on a day of October 2018."""
    return format_time(datetime.fromisoformat(f"2018-10-{day:02}T{clock}+00:00"))


def _through(*pages: str, user: str = "ann", session: str = "a1", clock: str = "08:00:00", day: int = 18):
    """A log of navigations from each page to the next, all at one time."""
    navigations = (a_navigation(_at(clock, day), *step) for step in pairwise(pages))
    return a_log(*navigations, user=user, session=session)


@pytest.fixture
def two_users():
    store_logs(
        _through("home", "shop", "cart", "home", "shop"),
        _through("news", "shop", "cart", user="bob", session="b1", day=19),
        _through("home", "shop", user="bob", session="too late", day=20),
    )


def test_paths_forward_begin_with_each_navigation_to_the_page(two_users):
    assert paths(DAYS, "shop", None, 3, forward=True, limit=9) == [
        PathRow(("shop",), 1),
        PathRow(("shop", "cart"), 1),
        PathRow(("shop", "cart", "home"), 1),
    ]
    assert paths(DAYS, "shop", "bob", 3, forward=True, limit=9) == [PathRow(("shop", "cart"), 1)]


def test_paths_back_end_with_each_navigation_from_the_page(two_users):
    assert paths(DAYS, "shop", None, 3, forward=False, limit=9) == [
        PathRow(("shop", "home"), 1),
        PathRow(("shop", "news"), 1),
    ]
    assert paths(DAYS, "cart", None, 5, forward=False, limit=9) == [PathRow(("cart", "shop", "home"), 1)]


def test_the_most_frequent_paths_come_first_and_no_more_than_asked_for():
    for number, page in enumerate(["cart", "news", "cart"]):
        store_logs(_through("home", "shop", page, session=str(number)))
    every = [PathRow(("shop", "cart"), 2), PathRow(("shop", "news"), 1)]
    assert paths(DAYS, "shop", None, 4, forward=True, limit=9) == every
    assert paths(DAYS, "shop", None, 4, forward=True, limit=1) == every[:1]


def test_a_page_may_lead_to_itself():
    store_logs(_through("home", "home", "home"))
    assert paths(DAYS, "home", None, 3, forward=True, limit=9) == [PathRow(("home",), 1), PathRow(("home", "home"), 1)]
    assert one_page(DAYS, "home", "ann") == PageRow(2, [NameRow("home", 2)], 2, [NameRow("home", 2)])


def test_a_path_goes_past_clicks_and_views_but_not_into_another_session():
    clock = _at("08:00:00")
    store_logs(a_log(a_navigation(clock, "a", "home"), a_click(clock), a_view(clock), a_navigation(clock, "b", "shop")))
    store_logs(a_log(a_navigation(_at("09:00:00"), "c", "cart"), session="another"))
    assert paths(DAYS, "home", None, 5, forward=True, limit=9) == [PathRow(("home", "shop"), 1)]


def test_one_page_says_from_where_users_came_and_where_they_went(two_users):
    prepare(DAYS)
    shop = PageRow(3, [NameRow("home", 2), NameRow("news", 1)], 2, [NameRow("cart", 2)])
    assert one_page(DAYS, "shop", None) == shop
    assert one_page(DAYS, "shop", None, limit=1) == shop._replace(came_from=[NameRow("home", 2)])
    assert one_page(DAYS, "shop", "bob") == PageRow(1, [NameRow("news", 1)], 1, [NameRow("cart", 1)])


def test_an_empty_range_has_no_paths(two_users):
    prepare(EMPTY)
    for user_id in (None, "ann"):
        assert paths(EMPTY, "shop", user_id, 5, forward=True, limit=9) == []
        assert paths(EMPTY, "shop", user_id, 5, forward=False, limit=9) == []
        assert one_page(EMPTY, "shop", user_id) == PageRow(0, [], 0, [])


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE logs_action; --", '"%s" %(a)s 100%', "back\\slash \\u0041", "\u202egnp.exe", "x" * 2048, "é😀"],
    ids=["quote", "percent", "backslash", "right to left", "long", "wide"],
)
def test_a_page_and_a_user_may_have_any_name(name):
    user = name[:255]
    store_logs(_through("home", name, name[1:], user=user), _through("home", "shop", user="another"))
    prepare(DAYS)
    for user_id in (None, user):
        assert paths(DAYS, name, user_id, 3, forward=True, limit=9) == [PathRow((name, name[1:]), 1)]
        assert paths(DAYS, name, user_id, 3, forward=False, limit=9) == [PathRow((name, "home"), 1)]
        assert one_page(DAYS, name, user_id) == PageRow(1, [NameRow("home", 1)], 1, [NameRow(name[1:], 1)])


# Many at the same time, and some right around both ends of the range.
_moments = st.one_of(
    st.integers(0, 3).map(lambda seconds: datetime(2018, 10, 18, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=seconds)),
    st.builds(
        lambda day, microseconds: datetime(2018, 10, day, tzinfo=UTC) + timedelta(microseconds=microseconds),
        st.sampled_from([18, 20]),
        st.integers(-1, 1),
    ),
)
_pages = st.sampled_from(["home", "shop", "cart"])
_actions = st.one_of(
    st.builds(lambda time, one, other: a_navigation(format_time(time), one, other), _moments, _pages, _pages),
    st.builds(lambda time: a_view(format_time(time), "home"), _moments),
)
_sessions = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.lists(_actions, min_size=1, max_size=9)), min_size=1, max_size=5
)


@given(_sessions, _pages, st.integers(3, 5), st.booleans(), st.sampled_from([None, "ann"]))
def test_paths_and_pages_agree_with_a_plain_reading(sessions, page, steps, forward, user_id):
    with transaction.atomic():
        for number, (user, actions) in enumerate(sessions):
            store_logs(a_log(*actions, user=user, session=str(number)))
        prepare(DAYS)
        every = _navigations(user_id)
        counted = Counter(
            names[place : place + steps]
            for session in every
            for names in [tuple(to for _, to in session) if forward else tuple(start for start, _ in reversed(session))]
            for place, name in enumerate(names)
            if name == page
        )
        expected = sorted((PathRow(*row) for row in counted.items()), key=lambda row: (-row.total, row.pages))
        assert paths(DAYS, page, user_id, steps, forward, limit=99) == expected
        assert paths(DAYS, page, user_id, steps, forward, limit=2) == expected[:2]
        came = Counter(start for session in every for start, to in session if to == page)
        went = Counter(to for session in every for start, to in session if start == page)
        assert one_page(DAYS, page, user_id) == PageRow(came.total(), _sorted(came), went.total(), _sorted(went))
        transaction.set_rollback(True)


def _navigations(user_id: str | None) -> list[list[tuple[str, str]]]:
    """The page left and the page reached by each NAVIGATE of the range, by session."""
    start, end = DAYS.bounds
    actions = sorted(Action.objects.filter(type="NAVIGATE"), key=lambda action: (action.log_id, action.time, action.id))
    inside = (action for action in actions if start <= action.time < end and user_id in (None, action.user_id))
    return [
        [(action.properties["pageFrom"], action.properties["pageTo"]) for action in session]
        for _, session in groupby(inside, lambda action: action.log_id)
    ]


def _sorted(counted: Counter[str]) -> list[NameRow]:
    return sorted((NameRow(*row) for row in counted.items()), key=lambda row: (-row.total, row.name))

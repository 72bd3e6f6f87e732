"""Which clicks count as rage clicks, checked against each session read from the beginning."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from logs.lib import jsontext
from logs.lib.fields import JSONText
from logs.lib.times import format_time
from logs.models import Action
from logs.store.append import append
from logs.store.days import Days
from logs.store.rage_clicks import RageClickRow, rage_clicks
from logs.store.rows import ActionRow, LogRow
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db

DAYS = Days(date(2018, 10, 18), date(2018, 10, 19))


@pytest.fixture(autouse=True)
def any_offset(settings):
    """Times may have a fraction of a second."""
    settings.LOGSTORE_ANY_OFFSET = True


def _at(seconds: float, day: int = 18) -> str:
    """A time on the wire that is so many seconds after midnight (UTC) of a day of October 2018."""
    return format_time(datetime(2018, 10, day, tzinfo=UTC) + timedelta(seconds=seconds))


def _clicks(*seconds: float, x: float = 52, y: float = 11):
    return [a_click(_at(second), x, y) for second in seconds]


def _found(user_id: str | None = None, limit: int = 9) -> list[RageClickRow]:
    return rage_clicks(DAYS, user_id, limit)


def _store_as_it_is(log: dict[str, Any]) -> None:
    """Store a log past the rules of the API, which takes no location as large as 1e400."""
    rows = [
        ActionRow(
            datetime.fromisoformat(action["time"]).astimezone(UTC),
            action["type"],
            jsontext.encode(action["properties"]),
        )
        for action in log["actions"]
    ]
    append([LogRow(user_id=log["userId"], session_id=log["sessionId"], actions=rows)])


@pytest.mark.parametrize(
    "seconds, bursts, clicks",
    [
        ((1, 1.5, 2), 1, 3),
        ((1, 1.5, 2.000001), 0, 0),
        ((1, 2), 0, 0),
        ((1, 1, 1, 1, 1), 1, 5),
        ((1, 1.1, 2.2, 2.3, 3.4, 3.5), 0, 0),
        ((1, 1.4, 1.8, 2.2, 2.6), 1, 5),
        ((1, 1.05, 1.2, 2.1, 2.2), 1, 5),
        ((1, 1.1, 1.2, 8, 8.1, 8.2), 2, 6),
        # No triple has the third and the fourth click.
        ((1, 1.1, 1.2, 2.3, 2.4, 2.5), 2, 6),
    ],
    ids=["a second", "longer", "two", "at once", "pairs", "run", "shared click", "apart", "side by side"],
)
def test_three_clicks_within_a_second_are_a_burst(seconds, bursts, clicks):
    store_logs(a_log(*_clicks(*seconds)))
    assert _found() == ([RageClickRow("", bursts, clicks, 1)] if bursts else [])


@pytest.mark.parametrize(
    "places, is_burst",
    [
        ([(0, 0), (30, 0), (0, 30)], True),
        ([(0, 0), (30.5, 0), (0, 0)], False),
        ([(0, 0), (0, 0), (0, -31)], False),
        ([(0, 0), (20, 0), (40, 0)], False),
        ([(-20, -20), (10, 10), (0, 0)], True),
    ],
    ids=["near", "across", "down", "drifting", "negative"],
)
def test_the_clicks_of_a_triple_are_near_each_other(places, is_burst):
    store_logs(a_log(*(a_click(_at(1), x, y) for x, y in places)))
    assert bool(_found()) == is_burst


def test_clicks_of_other_sessions_and_other_actions_between_do_not_matter():
    store_logs(
        a_log(*_clicks(1, 1.1), a_view(_at(1.2)), *_clicks(1.3), user="ann"),
        a_log(*_clicks(5, 5.1), user="ann", session="another"),
        a_log(*_clicks(5, 5.1), user="bob"),
    )
    assert _found() == [RageClickRow("", 1, 3, 1)]
    assert _found("bob") == []


def test_a_burst_is_counted_on_the_page_of_its_first_click():
    home, shop = (a_navigation(_at(second), "a", page) for second, page in ((0, "home"), (1.5, "shop")))
    store_logs(
        a_log(home, *_clicks(1, 1.1, 1.2), shop, *_clicks(1.6, 1.7), *_clicks(9, 9, 9), user="ann"),
        a_log(home, *_clicks(1, 1, 1), *_clicks(5, 5, 5), user="bob"),
        a_log(*_clicks(1, 1, 1), user="cat"),
    )
    rows = [RageClickRow("home", 3, 11, 2), RageClickRow("", 1, 3, 1), RageClickRow("shop", 1, 3, 1)]
    assert _found() == rows
    assert _found(limit=1) == rows[:1]
    assert _found("ann") == [RageClickRow("home", 1, 5, 1), RageClickRow("shop", 1, 3, 1)]


def test_the_page_is_inferred_from_before_the_range_and_clicks_are_not():
    evening = a_navigation(_at(-60), "a", "home")
    store_logs(a_log(evening, *_clicks(-0.1, 0, 0.1), session="across"))
    assert _found() == []
    store_logs(a_log(evening, *_clicks(0, 0.1, 0.2), session="inside"))
    assert _found() == [RageClickRow("home", 1, 3, 1)]


def test_an_empty_range_has_none():
    store_logs(a_log(*_clicks(1, 1, 1)))
    assert rage_clicks(Days(date(2019, 1, 1), date(2019, 1, 2)), None, 9) == []


@pytest.mark.parametrize(
    "number, counts",
    [
        ("52", True),
        ("-0", True),
        ("5.2E+1", True),
        ("1e-99", True),
        ("9" * 40, True),
        ("9" * 41, False),
        ("1e99", True),
        ("1e100", False),
        ("1e-400", False),
        ("1e400", False),
        ("-1E+400", False),
        ("1e-20000", False),
        ("1e99999999999", False),
        ("0." + "1" * 20_000, False),
        ("1" * 5_000, False),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("member", ["locationX", "locationY"])
def test_a_location_may_be_any_number_of_json(member, number, counts):
    click = a_click(_at(1))
    click["properties"][member] = jsontext.decode(number)
    _store_as_it_is(a_log(click, click, click))
    assert _found() == ([RageClickRow("", 1, 3, 1)] if counts else [])


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE logs_action; --", '"%s" %(a)s 100%', "back\\slash \\u0041", "\u202egnp.exe", "x" * 2048, "é😀"],
    ids=["quote", "percent", "backslash", "right to left", "long", "wide"],
)
def test_a_page_and_a_user_may_have_any_name(name):
    store_logs(a_log(a_navigation(_at(0), "a", name), *_clicks(1, 1, 1), user=name[:255]))
    assert _found() == _found(name[:255]) == [RageClickRow(name, 1, 3, 1)]


# Many close together, and some right around both ends of the range.
_moments = st.builds(
    lambda base, tenths, microseconds: base + timedelta(seconds=tenths / 10, microseconds=microseconds),
    st.sampled_from([datetime(2018, 10, day, tzinfo=UTC) for day in (18, 19, 20)]),
    st.integers(-8, 8),
    st.integers(-1, 1),
)
_numbers = ["0", "30", "15.5", "-1", "3e1", "1e400", "1e-400", "1e99", "0." + "7" * 50]
_locations = st.sampled_from([jsontext.decode(number) for number in _numbers])
_actions = st.one_of(
    st.builds(lambda time: a_click(format_time(time)), _moments),
    st.builds(lambda time, x: a_click(format_time(time), x), _moments, _locations),
    st.builds(lambda time, x, y: a_click(format_time(time), x, y), _moments, _locations, _locations),
    st.builds(lambda time, page: a_navigation(format_time(time), page + "1", page), _moments, st.sampled_from("ab")),
    st.builds(lambda time: a_view(format_time(time)), _moments),
)
_sessions = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.lists(_actions, min_size=1, max_size=16)), min_size=1, max_size=4
)


@given(_sessions, st.sampled_from([None, "ann"]))
def test_rage_clicks_agree_with_a_plain_reading(sessions, user_id):
    with transaction.atomic():
        for number, (user, actions) in enumerate(sessions):
            _store_as_it_is(a_log(*actions, user=user, session=str(number)))
        counted: dict[str, list[tuple[int, int]]] = {}
        every = Action.objects.annotate(text=JSONText("properties")).order_by("log_id", "time", "id")
        for log_id, session in groupby(every, lambda action: action.log_id):
            actions = list(session)
            if user_id in (None, actions[0].user_id):
                for page, clicks in _bursts(actions):
                    counted.setdefault(page, []).append((log_id, clicks))
        expected = [
            RageClickRow(page, len(bursts), sum(clicks for _, clicks in bursts), len({log_id for log_id, _ in bursts}))
            for page, bursts in counted.items()
        ]
        expected.sort(key=lambda row: (-row.bursts, row.page))
        assert _found(user_id) == expected
        assert _found(user_id, limit=1) == expected[:1]
        transaction.set_rollback(True)


def _bursts(actions: Sequence[Action]) -> list[tuple[str, int]]:
    """The page and the number of clicks of each burst of a session."""
    start, end = DAYS.bounds
    clicks = [action for action in actions if action.type == "CLICK" and start <= action.time < end]
    places = [_place(click) for click in clicks]
    bursts: list[list[int]] = []
    for first in range(len(clicks) - 2):
        triple = places[first : first + 3]
        if None in triple or clicks[first + 2].time - clicks[first].time > timedelta(seconds=1):
            continue
        if any(max(line) - min(line) > 30 for line in zip(*triple, strict=True)):
            continue
        if bursts and bursts[-1][1] >= first:
            bursts[-1][1] = first + 2
        else:
            bursts.append([first, first + 2])
    return [(_page(clicks[first], actions), last - first + 1) for first, last in bursts]


def _place(click: Action) -> tuple[float, float] | None:
    """Where a click was, across and down; None where a location doesn't count."""
    written = json.loads(click.text, parse_int=str, parse_float=str)
    texts = written["locationX"], written["locationY"]
    if any(len(text) > 40 or re.search(r"[eE][+-]?\d{3}", text) for text in texts):
        return None
    return float(texts[0]), float(texts[1])


def _page(click: Action, actions: Sequence[Action]) -> str:
    """The page of a click, as the documentation says it is found."""
    midnight = click.time.replace(hour=0, minute=0, second=0, microsecond=0)
    place = actions.index(click)
    before = [action for action in actions[:place] if action.type == "NAVIGATE"]
    after = [action for action in actions[place:] if action.type == "NAVIGATE"]
    if before and before[-1].time >= midnight - timedelta(hours=6):
        return before[-1].properties["pageTo"]
    if after and after[0].time < midnight + timedelta(days=1):
        return after[0].properties["pageFrom"]
    return ""

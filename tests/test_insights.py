"""What Insights counts, how its rollups are kept true, and what its endpoints answer."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logs.lib.times import format_time
from logs.models import Action, RolledUpDay, Rollup, RollupKind, StaleDay
from logs.store import purge as purging
from logs.store import rollups
from logs.store.days import SETTLED_AFTER, Days
from logs.store.rollups import RollupProgress, prepare
from tests.builders import a_click, a_log, a_navigation, a_view, places, refusal, store_logs

pytestmark = pytest.mark.django_db

DAY = date(2018, 10, 18)
RANGE = {"from": "2018-10-18", "to": "2018-10-19"}


def _at(clock: str, day: int = 18) -> str:
    """A time on the wire that is so late (UTC) on a day of October 2018."""
    return format_time(datetime.fromisoformat(f"2018-10-{day:02}T{clock}+00:00"))


@pytest.fixture
def two_days():
    store_logs(
        a_log(
            a_navigation(_at("00:30:00"), "home", "shop"),
            a_click(_at("00:31:00"), 52, 11),
            a_view(_at("00:32:00"), "shoe"),
            a_navigation(_at("01:00:00"), "shop", "cart"),
            a_click(_at("01:01:00"), 52, 12),
            a_click(_at("23:59:59"), -1, 0),
            user="ann",
            session="a1",
        ),
        a_log(a_click(_at("00:00:00", 19), 52, 11), a_view(_at("05:00:00", 19), "shoe"), user="bob", session="b1"),
        a_log(a_view(_at("12:00:00", 17), "hat"), user="cat", session="c1"),
    )


@pytest.fixture(autouse=True)
def as_long_as_it_takes(monkeypatch):
    """No chart is answered by how far its days have come, however busy the machine is."""
    monkeypatch.setattr("logs.admin.insights._SECONDS_OF_PREPARING", 60)


@pytest.fixture
def ask(viewer):
    """Get a chart's data."""

    def read(chart: str, **query):
        answer = viewer.get(f"/admin/insights/{chart}.json", {**RANGE, **query})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return read


def test_the_totals_are_compared_with_the_days_before(two_days, ask):
    data = ask("totals")
    assert data["rows"] == [
        ["Actions", 8, 1, "+700%"],
        ["Clicks", 4, 0, "new"],
        ["Views", 2, 1, "+100%"],
        ["Navigations", 2, 0, "new"],
        ["Users", 2, 1, "+100%"],
    ]
    assert "Actions: 8 (+700%)" in data["summary"]
    assert data["more"]["periodBefore"] == "2018-10-16 to 2018-10-17"


def test_activity_is_counted_by_hour_and_type_with_its_gaps(two_days, ask):
    data = ask("activity")
    assert data["columns"] == ["Hour (UTC)", "Clicks", "Views", "Navigations"]
    assert len(data["rows"]) == 48
    busy = {row[0]: row[1:] for row in data["rows"] if any(row[1:])}
    assert busy == {
        "2018-10-18 00:00": [1, 1, 1],
        "2018-10-18 01:00": [1, 0, 1],
        "2018-10-18 23:00": [1, 0, 0],
        "2018-10-19 00:00": [1, 0, 0],
        "2018-10-19 05:00": [0, 1, 0],
    }


@pytest.mark.parametrize(
    "last, unit, bars", [("2018-10-24", "hour", 168), ("2018-10-25", "day", 8), ("2018-12-31", "week", 11)]
)
def test_the_range_decides_the_unit(two_days, ask, last, unit, bars):
    data = ask("activity", to=last)
    assert (data["more"]["unit"], len(data["rows"])) == (unit, bars)
    assert sum(sum(row[1:]) for row in data["rows"]) == 8


def test_users_are_counted_by_day_new_and_returning_beside_the_period_before(two_days, ask, viewer):
    store_logs(a_log(a_click(_at("12:00:00", 19)), user="cat", session="c2"))
    data = ask("visitors")
    assert data["columns"] == ["Day (UTC)", "New", "Returning", "Users in the period before"]
    assert data["rows"] == [["2018-10-18", 1, 0, 0], ["2018-10-19", 1, 1, 1]]
    assert data["summary"] == "3 users, 2 of them new."
    # The links lead to the actions of the day.
    assert [len(viewer.get(link).context["entries"]) for link in data["links"]] == [6, 3]
    assert ask("visitors", user="cat")["rows"] == [["2018-10-18", 0, 0, 0], ["2018-10-19", 0, 1, 1]]
    assert ask("visitors", types="NAVIGATE")["rows"] == [["2018-10-18", 1, 0, 0], ["2018-10-19", 0, 0, 0]]
    empty = ask("visitors", user="nobody")
    assert (empty["rows"], empty["summary"]) == ([], "No users in this period.")


def test_users_of_days_that_are_not_over_have_nothing_to_be_compared_with(two_days, ask, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2018, 10, 18, 12, 30, tzinfo=UTC))
    data = ask("visitors")
    assert [row[3] for row in data["rows"]] == [0, None]
    assert data["more"]["open"] == 0


def test_clicks_are_counted_in_squares(two_days, ask):
    assert sorted(ask("clicks", allpages="on")["rows"]) == [[-20, 0, 1], [40, 0, 3]]


def test_the_page_of_a_click_is_the_one_navigated_to_before(two_days, ask):
    assert ask("clicks")["more"]["pages"] == [["cart", 2], ["", 1], ["shop", 1]]
    assert sorted(ask("clicks", page="cart")["rows"]) == [[-20, 0, 1], [40, 0, 1]]
    assert ask("clicks", page="")["rows"] == [[40, 0, 1]]


def test_the_page_with_the_most_clicks_is_shown_first_and_one_that_is_not_known_last(ask):
    store_logs(a_log(a_navigation(_at("00:30:00"), "home", "shop"), a_click(_at("00:31:00")), user="ann"))
    store_logs(a_log(a_click(_at("00:31:00"), 900, 900), a_click(_at("00:31:00"), 900, 900), user="bob"))
    data = ask("clicks")
    assert data["more"]["pages"] == [["", 2], ["shop", 1]]
    assert (data["more"]["page"], data["rows"]) == ("shop", [[40, 0, 1]])


def test_the_page_of_a_click_before_any_navigation_is_the_one_that_the_next_one_left(ask):
    store_logs(
        a_log(
            a_click(_at("00:10:00"), 52, 11),
            a_click(_at("00:20:00"), 52, 11),
            a_navigation(_at("00:20:00"), "home", "shop"),
            a_navigation(_at("00:30:00"), "elsewhere", "cart"),
            a_click(_at("00:40:00"), 52, 11),
        )
    )
    assert ask("clicks")["more"]["pages"] == [["home", 2], ["cart", 1]]


def test_a_navigation_of_the_next_day_says_nothing_of_a_clicks_page(ask):
    store_logs(a_log(a_click(_at("23:50:00")), a_navigation(_at("00:10:00", 19), "home", "shop")))
    assert ask("clicks")["more"]["pages"] == [["", 1]]
    assert ask("clicks", user="ABC123XYZ")["more"]["pages"] in ([["", 1]], [])


_moments = st.integers(0, 2 * 24 * 60).map(
    lambda minutes: datetime(2018, 10, 18, tzinfo=UTC) + timedelta(minutes=minutes)
)
_pages = st.sampled_from(["home", "shop", "cart", ""])
_steps = st.one_of(
    st.builds(lambda time, x: a_click(format_time(time), x * 20), _moments, st.integers(0, 3)),
    st.builds(lambda time, a, b: a_navigation(format_time(time), a or "a", b or "b"), _moments, _pages, _pages),
    st.builds(lambda time: a_view(format_time(time)), _moments),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_steps, min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_click_is_counted_on_the_page_that_a_plain_reading_finds(viewer, sessions):
    """Rollups, one user's counts and the list's own filter agree with each session read from its beginning."""
    with transaction.atomic():
        store_logs(*(a_log(*steps, user=f"user {index}") for index, steps in enumerate(sessions)))
        expected = Counter(
            (user, page, square)
            for user in (f"user {index}" for index in range(len(sessions)))
            for page, square in _clicks_in(Action.objects.filter(user_id=user).order_by("time", "id"))
        )
        cache.clear()
        everybody: Counter[tuple[str, int]] = Counter()
        for (_, page, square), count in expected.items():
            everybody[page, square] += count
        prepare(Days(DAY, DAY + timedelta(days=2)))
        days = {"from": "2018-10-18", "to": "2018-10-20"}
        for page in {page for _, page, _ in expected}:
            data = viewer.get("/admin/insights/clicks.json", {**days, "page": page}).json()
            assert {row[0]: row[2] for row in data["rows"]} == {x: n for (of, x), n in everybody.items() if of == page}
            for row, link in zip(data["rows"], data["links"], strict=True):
                assert len(viewer.get(link).context["entries"]) == row[2], link
        for user, page, _ in expected:
            data = viewer.get("/admin/insights/clicks.json", {**days, "user": user, "page": page}).json()
            counted = {x: n for (of, at, x), n in expected.items() if (of, at) == (user, page)}
            assert {row[0]: row[2] for row in data["rows"]} == counted
        transaction.set_rollback(True)


def _clicks_in(actions) -> list[tuple[str, int]]:
    """The page and the square of each click of a session, as the documentation says they are found."""
    actions, found = list(actions), []
    for index, action in enumerate(actions):
        if action.type != "CLICK":
            continue
        midnight = action.time.replace(hour=0, minute=0)
        before = [other for other in actions[:index] if other.type == "NAVIGATE"]
        after = [other for other in actions[index:] if other.type == "NAVIGATE"]
        page = ""
        if before and before[-1].time >= midnight - timedelta(hours=6):
            page = before[-1].properties["pageTo"]
        elif after and after[0].time < midnight + timedelta(days=1):
            page = after[0].properties["pageFrom"]
        found.append((page, int(action.properties["locationX"]) // 20 * 20))
    return found


def test_a_range_that_goes_on_still_is_compared_with_as_much_of_the_range_before(ask, viewer, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2018, 10, 19, 12, 30, 59, tzinfo=UTC))
    store_logs(
        a_log(a_click(_at("11:00:00", 18)), a_click(_at("12:00:00", 19)), user="ann"),
        a_log(a_click(_at("00:00:00", 16)), a_click(_at("12:29:59", 17)), user="bob"),
        a_log(a_view(_at("12:30:00", 17)), user="after"),
    )
    for query in ({}, {"user": ""}):
        data = ask("totals", **query)
        assert data["rows"][0] == ["Actions", 2, 2, "no change"]
        assert data["rows"][-1] == ["Users", 1, 1, "no change"]
    assert "(UTC, so far), compared with 2018-10-16 to 2018-10-17 12:30" in data["summary"]
    assert ask("totals", user="after")["rows"][0] == ["Actions", 0, 0, "no change"]
    today = viewer.get("/admin/insights/totals.json", {"from": "2018-10-19", "to": "2018-10-19"}).json()
    assert today["more"]["periodBefore"] == "2018-10-18 12:30"
    assert today["rows"][0][1:3] == [1, 1]


def test_the_hour_that_goes_on_still_is_marked_in_the_chart(two_days, ask, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2018, 10, 19, 12, 30, tzinfo=UTC))
    data = ask("activity")
    assert data["rows"][data["more"]["open"]][0] == "2018-10-19 12:00"
    monkeypatch.setattr(timezone, "now", lambda: datetime(2018, 10, 21, 12, 30, tzinfo=UTC))
    cache.clear()
    assert ask("activity")["more"]["open"] is None


def test_a_range_that_is_too_long_is_shown_as_far_as_it_can_be(viewer, two_days):
    answer = viewer.get("/admin/insights/", {"from": "2018-01-01", "to": "2018-12-31"})
    assert answer.context["question"].days == Days(date(2018, 10, 1), date(2018, 12, 31))
    assert "At most 92 days are shown at once" in answer.text


def test_usual_ranges_and_those_around_are_one_click_away(viewer, monkeypatch):
    store_logs(a_log(a_click()))
    monkeypatch.setattr(timezone, "now", lambda: datetime(2018, 10, 19, 12, 30, tzinfo=UTC))
    context = viewer.get("/admin/insights/", {"from": "2018-10-13", "to": "2018-10-19", "user": "a&b"}).context
    ranges = {preset.name: (preset.url, preset.is_chosen) for preset in context["presets"]}
    assert ranges["Today"] == ("?from=2018-10-19&to=2018-10-19&user=a%26b", False)
    assert ranges["7 days"] == ("?from=2018-10-13&to=2018-10-19&user=a%26b", True)
    assert ranges["This month"][0].startswith("?from=2018-10-01&to=2018-10-19")
    assert context["around"] == {"earlier": "?from=2018-10-06&to=2018-10-12&user=a%26b"}
    context = viewer.get("/admin/insights/", {"from": "2018-10-12", "to": "2018-10-18"}).context
    assert context["around"]["later"] == "?from=2018-10-19&to=2018-10-25"


def test_the_page_is_inferred_over_midnight(ask):
    store_logs(a_log(a_navigation(_at("23:00:00", 17), "home", "shop"), a_click(_at("00:10:00"))))
    assert ask("clicks")["more"]["pages"] == [["shop", 1]]


def test_a_navigation_of_the_evening_that_comes_late_gives_the_next_days_clicks_their_page(ask):
    store_logs(a_log(a_click(_at("00:10:00"))))
    assert ask("clicks")["more"]["pages"] == [["", 1]]
    store_logs(a_log(a_navigation(_at("19:00:00", 17), "home", "shop")))
    cache.clear()
    assert ask("clicks")["more"]["pages"] == [["shop", 1]]


def test_a_navigation_of_the_evening_that_is_purged_takes_the_page_of_the_next_days_clicks(ask):
    store_logs(a_log(a_navigation(_at("23:00:00", 17), "home", "shop"), a_click(_at("00:10:00"))))
    assert ask("clicks")["more"]["pages"] == [["shop", 1]]
    for _ in purging.purge(purging.Selection(before=datetime(2018, 10, 18, tzinfo=UTC)), "tester"):
        pass
    cache.clear()
    assert ask("clicks")["more"]["pages"] == [["", 1]]


@pytest.mark.parametrize(
    "hour, stale", [("17:59:59", {17}), ("18:00:00", {17, 18}), ("23:59:59", {17, 18})], ids=["day", "six", "late"]
)
def test_an_action_marks_the_days_whose_rollups_it_changes(hour, stale):
    store_logs(a_log(a_click(_at(hour, 17))))
    assert {day.day.day for day in StaleDay.objects.all()} == stale


def test_one_click_far_away_does_not_shrink_the_others(ask):
    far = a_click(_at("00:00:00"), 2**53 - 1, -(2**53) + 1)
    store_logs(a_log(far, *(a_click(_at("00:00:01"), 52, 11) for _ in range(300))))
    data = ask("clicks")
    assert data["rows"][0] == [40, 0, 300]
    assert (data["more"]["drawn"], len(data["rows"])) == (1, 2)
    assert "1 click far from the others is in the table alone." in data["summary"]


def test_one_click_far_away_among_few_does_not_empty_the_picture(ask):
    store_logs(
        a_log(a_click(_at("00:00:00"), 10**15, 5), a_click(_at("00:00:01"), 52, 11), a_click(_at("00:00:02"), 90, 9))
    )
    more = ask("clicks")["more"]
    assert (more["drawn"], more["size"], more["left"], more["right"]) == (2, 20, 0, 340)


@pytest.mark.parametrize("x, width", [(52, 360), (390, 400), (1200, 1280), (1919, 1920)])
def test_the_picture_is_as_wide_as_a_usual_screen(ask, x, width):
    store_logs(a_log(a_click(_at("00:00:00"), x, 11)))
    more = ask("clicks")["more"]
    assert more["left"] == 0
    assert width - more["size"] <= more["right"] < width


@pytest.mark.parametrize(
    "number, cell",
    [(b"1e-400", 0), (b"-1e-20000", 0), (b"5.2E+1", 40), (b"5200e-2", 40), (b"0." + b"1" * 20_000, 0), (b"-0.5", -20)],
    ids=["tiny", "tinier", "capital", "shifted", "long", "negative"],
)
def test_a_location_may_be_any_number_of_json(post, ask, number, cell):
    body = (
        b'[{"userId": "u", "sessionId": "s", "actions": [{"time": "2018-10-18T08:00:00-06:00", "type": "CLICK",'
        b' "properties": {"locationX": %s, "locationY": 0}}]}]'
    )
    assert post(body % number).status_code == 200
    assert [row[0] for row in ask("clicks")["rows"]] == [cell]


def test_the_paths_between_pages_are_counted(two_days, ask):
    assert ask("flow")["rows"] == [["home", "shop", 1], ["shop", "cart", 1]]


def test_only_the_top_thirty_paths_are_shown(ask):
    paths = [a_navigation(_at("00:00:00"), "home", f"page {n}") for n in range(40) for _ in range(n + 1)]
    store_logs(a_log(*paths))
    assert [row[2] for row in ask("flow")["rows"]] == list(range(40, 10, -1))


def test_the_most_viewed_ids_and_the_most_active_users_are_named(two_days, ask):
    assert ask("views")["rows"] == [["shoe", 2]]
    assert ask("users")["rows"] == [["ann", 6], ["bob", 2]]
    assert ask("users")["summary"] == "Most active: ann, 6 actions."


def test_one_user_and_some_types_can_be_asked_for(two_days, ask):
    assert ask("users", types="VIEW")["rows"] == [["ann", 1], ["bob", 1]]
    assert ask("totals", user="ann")["rows"][0] == ["Actions", 6, 0, "new"]
    assert ask("flow", user="bob")["rows"] == []
    assert ask("clicks", types="VIEW")["summary"] == "Clicks are not among the selected types."
    assert [row[0] for row in ask("totals", types="VIEW")["rows"]] == ["Actions", "Views", "Users"]


@pytest.mark.parametrize("chart", ["activity", "clicks", "flow", "views", "users"])
def test_every_mark_links_to_the_rows_behind_it(two_days, ask, viewer, chart):
    data = ask(chart)
    assert len(data["links"]) == len(data["rows"])
    for row, link in zip(data["rows"], data["links"], strict=True):
        counted = sum(value for value in row[1:] if isinstance(value, int)) if chart == "activity" else row[-1]
        assert len(viewer.get(link).context["entries"]) == counted, link


def test_every_user_asked_for_alone_adds_up_to_everybody(two_days, ask):
    for chart, key in (("views", 1), ("flow", 2)):
        alone = Counter()
        for user in ("ann", "bob"):
            alone.update({tuple(row[:key]): row[key] for row in ask(chart, user=user)["rows"]})
        assert alone == {tuple(row[:key]): row[key] for row in ask(chart)["rows"]}


def test_today_is_counted_as_it_is(ask, viewer):
    now = timezone.now().replace(microsecond=0)
    store_logs(a_log(a_view(format_time(now), "shoe"), a_click(format_time(now))))
    today = now.date().isoformat()
    data = viewer.get("/admin/insights/views.json", {"from": today, "to": today}).json()
    assert data["rows"] == [["shoe", 1]]
    assert not RolledUpDay.objects.exists()
    assert not StaleDay.objects.exists()


def test_a_past_day_is_counted_once(two_days, django_assert_max_num_queries):
    assert prepare(Days(DAY, DAY)) == RollupProgress(1, 1)
    counted = Rollup.objects.count()
    assert counted
    with django_assert_max_num_queries(2):
        prepare(Days(DAY, DAY))
    assert Rollup.objects.count() == counted


def test_what_comes_late_is_counted_when_it_is_next_asked_for(two_days, ask):
    assert ask("views")["rows"] == [["shoe", 2]]
    store_logs(a_log(a_view(_at("10:00:00"), "boot"), user="dan"))
    cache.clear()
    assert ask("views")["rows"] == [["shoe", 2], ["boot", 1]]
    assert not StaleDay.objects.filter(day__gte=DAY).exists()


def test_an_answer_is_kept_for_a_minute(two_days, viewer, django_assert_max_num_queries):
    first = viewer.get("/admin/insights/views.json", RANGE).json()
    # The session, its user and that user's permissions: no more.
    with django_assert_max_num_queries(4):
        assert viewer.get("/admin/insights/views.json", RANGE).json() == first


def test_days_are_counted_a_few_at_a_time(two_days, viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.insights._SECONDS_OF_PREPARING", 0)
    states = []
    while not states or states[-1][0] == 202:
        answer = viewer.get("/admin/insights/totals.json", RANGE)
        states.append((answer.status_code, answer.json().get("done")))
    assert states == [(202, 1), (202, 2), (202, 3), (200, None)]


def test_a_day_that_two_count_at_once_is_counted_once(two_days):
    prepare(Days(DAY, DAY))
    before = Counter(Rollup.objects.values_list("kind", "label", "other", "x", "y", "count"))
    # The second comes when the first is done: it found the day missing, too.
    rollups.roll_up(DAY)
    assert Counter(Rollup.objects.values_list("kind", "label", "other", "x", "y", "count")) == before
    assert set(Rollup.objects.values_list("kind", flat=True)) == set(RollupKind.values)


def test_the_command_counts_ahead(two_days, capsys):
    back = (timezone.now().date() - DAY).days + 1
    call_command("prepareinsights", days=back)
    assert RolledUpDay.objects.filter(day=DAY).exists()
    # And the day before, which is marked as stale.
    assert capsys.readouterr().out == f"Rolled up: {back - _open_days():,} days.\n"
    with pytest.raises(CommandError):
        call_command("prepareinsights", "--days", "0")


def test_the_command_rolls_up_stale_days_however_old(two_days):
    prepare(Days(DAY, DAY))
    store_logs(a_log(a_view(_at("10:00:00"), "boot"), user="dan"), a_log(a_view(_at("10:00:00", 1)), user="dan"))
    call_command("prepareinsights", days=1, stdout=io.StringIO(), stderr=io.StringIO())
    assert Rollup.objects.filter(day=DAY, kind=RollupKind.VIEWS, label="boot").exists()
    # What was never rolled up is counted when it is asked for: its mark says nothing.
    assert set(RolledUpDay.objects.filter(day__lt=DAY + timedelta(days=1)).values_list("day", flat=True)) == {DAY}
    assert not StaleDay.objects.exists()


def test_the_command_may_be_stopped_and_goes_on(two_days, monkeypatch):
    options = {"days": (timezone.now().date() - DAY).days + 3, "stdout": io.StringIO(), "stderr": io.StringIO()}
    roll_up, seen = rollups.roll_up, []

    def interrupted(day: date) -> None:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(day)
        roll_up(day)

    monkeypatch.setattr(rollups, "roll_up", interrupted)
    with pytest.raises(CommandError, match="Interrupted") as stopped:
        call_command("prepareinsights", **options)
    assert stopped.value.returncode == 130
    monkeypatch.setattr(rollups, "roll_up", lambda day: (seen.append(day), roll_up(day)))
    call_command("prepareinsights", **options)
    assert len(seen) == len(set(seen)) == RolledUpDay.objects.count()
    assert "days" in options["stderr"].getvalue()


def _open_days() -> int:
    return int((timezone.now() - SETTLED_AFTER).date() != timezone.now().date())


def test_the_last_week_is_shown_where_nothing_is_asked_for(viewer, two_days):
    question = viewer.get("/admin/insights/").context["question"]
    today = datetime.now(UTC).date()
    assert question.days == Days(today - timedelta(days=6), today)


def test_the_url_holds_the_view(viewer, two_days):
    answer = viewer.get("/admin/insights/", {**RANGE, "user": "ann", "types": ["VIEW"], "page": "cart"})
    question = answer.context["question"]
    assert (question.days, question.user_id) == (Days(DAY, DAY + timedelta(days=1)), "ann")
    assert (question.types, question.page) == (("VIEW",), "cart")
    assert 'value="2018-10-18"' in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2018-10-19", "to": "2018-10-18"},
        {"from": "0001-01-01", "to": "0001-01-02"},
        {"from": "9999-12-30", "to": "9999-12-31"},
        {"to": "0001-01-02"},
        {"from": "yesterday"},
        {"types": "WRONG"},
        {"user": "\0"},
    ],
    ids=str,
)
def test_a_range_that_makes_no_sense_is_explained(viewer, two_days, query):
    assert viewer.get("/admin/insights/activity.json", query).status_code == 400
    assert "errorlist" in viewer.get("/admin/insights/", query).text


@pytest.mark.parametrize("chart", ["totals", "activity", "clicks", "flow", "views", "users"])
@pytest.mark.parametrize("user", ["", "ann"], ids=["everybody", "one user"])
@pytest.mark.parametrize(
    "first, last",
    [("0001-01-02", "0001-01-02"), ("9999-12-30", "9999-12-30"), ("9999-09-30", "9999-12-30")],
    ids=["first day", "last day", "last weeks"],
)
def test_the_edges_of_the_calendar_are_counted(viewer, two_days, chart, user, first, last):
    store_logs(a_log(a_click(f"{last}T06:00:00-06:00"), a_navigation(f"{last}T06:00:01-06:00"), user="ann"))
    answer = viewer.get(f"/admin/insights/{chart}.json", {"from": first, "to": last, "user": user})
    assert answer.status_code == 200
    for link in answer.json()["links"]:
        assert "errorlist" not in viewer.get(link).text


def test_a_refused_range_is_told_in_the_contracts_error_body(viewer, two_days):
    answer = viewer.get("/admin/insights/activity.json", {"from": "yesterday", "types": "WRONG"})
    assert refusal(answer) == (400, "INVALID_PARAMETER")
    assert set(places(answer)) == {("INVALID_PARAMETER", "from"), ("INVALID_PARAMETER", "types")}


def test_the_data_of_a_range_that_is_too_long_is_refused(viewer):
    answer = viewer.get("/admin/insights/activity.json", {"from": "2018-01-01", "to": "2018-12-31"})
    assert refusal(answer) == (400, "INVALID_PARAMETER")


def test_another_chart_is_not_found(viewer):
    assert viewer.get("/admin/insights/anything.json").status_code == 404


def test_an_empty_range_says_so(two_days, ask):
    empty = {"from": "2019-01-01", "to": "2019-01-02"}
    known = "There are actions from 2018-10-17 to 2018-10-19."
    assert ask("activity", **empty)["summary"] == f"No actions in this period. {known}"
    known = "There are actions of this user from 2018-10-18 to 2018-10-18."
    assert ask("activity", **empty, user="ann")["summary"] == f"No actions in this period. {known}"
    assert ask("activity", **empty, user="nobody")["summary"] == "No actions in this period."
    assert ask("views", **empty)["summary"] == "No views in this period."
    assert ask("clicks", **empty)["summary"] == "No clicks in this period."

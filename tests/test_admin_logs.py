"""The list of logs and the page of one log."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from logs.admin import pages
from logs.admin.timeline import duration
from logs.models import Action, Log
from logs.templatetags.shown import shown
from tests.builders import a_click, a_log, a_navigation, a_staff_user, a_view, store_logs

pytestmark = pytest.mark.django_db

LIST = "/admin/logs/log/"


def _sessions(answer) -> list[str]:
    assert answer.status_code == 200
    return [log.session_id for log in answer.context["page"].rows]


def _of(session: str, user: str = "someone", time: str = "2018-10-18T21:37:28-06:00", *actions):
    return a_log(*(actions or [a_click(time)]), user=user, session=session)


def _page_of(session: str) -> str:
    return reverse("admin:logs_log_change", args=[Log.objects.get(session_id=session).id])


def test_logs_come_newest_first_with_their_counts(viewer):
    store_logs(
        _of("older", time="2018-10-18T10:00:00-06:00"),
        a_log(a_click("2018-10-19T10:00:00-06:00"), a_click("2018-10-19T11:30:00-06:00"), session="newer"),
    )
    answer = viewer.get(LIST)
    assert _sessions(answer) == ["newer", "older"]
    newer = answer.context["page"].rows[0]
    assert (newer.action_count, newer.click_count, newer.view_count) == (2, 2, 0)
    assert "2018-10-19 17:30:00" in answer.text


@pytest.mark.parametrize(
    "search, found",
    [
        pytest.param("ann", {"s1", "s2", "ann-tablet"}, id="a user or session that begins so"),
        pytest.param('"ann"', {"s1"}, id="exactly a user"),
        pytest.param('"ann-tablet"', {"ann-tablet"}, id="exactly a session"),
        pytest.param(r'"x\ny"', {"s7"}, id="a line break as JSON writes it"),
        pytest.param('"' + "\U0001f600" * 255 + '"', {"s8"}, id="as many characters as there may be"),
        pytest.param(r'"\ud800"', set(), id="what no id can hold"),
        pytest.param("Ann", {"s3"}, id="case counts"),
        pytest.param("a%", {"s4"}, id="a wildcard is a character like any"),
        pytest.param("nn", set(), id="not in the middle"),
        pytest.param(" ann", {"s5"}, id="a space is part of an id"),
        pytest.param("\U0010ffff", {"s6"}, id="the last character there is"),
    ],
)
def test_a_search_finds_users_and_sessions(viewer, search, found):
    store_logs(
        _of("s1", "ann"),
        _of("s2", "anna"),
        _of("s3", "Ann"),
        _of("s4", "a%b"),
        _of("s5", " ann"),
        _of("s6", "\U0010ffff\U0010ffffx"),
        _of("ann-tablet", "bob"),
        _of("s7", "x\ny"),
        _of("s8", "\U0001f600" * 255),
    )
    assert set(_sessions(viewer.get(LIST, {"q": search}))) == found


def test_a_search_with_many_hits_still_finds_the_newest_first(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs._FEW_HITS", 2)
    store_logs(*(_of(f"s{day}", f"ann{day}", f"2018-10-1{day}T00:00:00-06:00") for day in range(5)), _of("x", "bob"))
    assert _sessions(viewer.get(LIST, {"q": "ann"})) == ["s4", "s3", "s2", "s1", "s0"]


def test_logs_are_narrowed_by_type_time_and_user(viewer):
    store_logs(
        _of("click", "ann", "2018-10-18T00:00:00-06:00"),
        _of("view", "ann", "", a_view("2018-10-18T06:00:00-06:00")),
        _of("late", "bob", "2018-10-19T00:00:00-06:00"),
    )
    assert _sessions(viewer.get(LIST, {"types": "VIEW"})) == ["view"]
    assert _sessions(viewer.get(LIST, {"user": "ann"})) == ["view", "click"]
    # From the first instant on, until right before the last.
    assert _sessions(viewer.get(LIST, {"from": "2018-10-18T12:00", "to": "2018-10-19T06:00"})) == ["view"]


def test_a_range_of_time_finds_the_sessions_that_overlap_it(viewer):
    store_logs(
        a_log(a_click("2018-10-18T14:44:00-06:00"), a_click("2018-10-18T15:05:00-06:00"), session="goes into it"),
        a_log(a_click("2018-10-18T15:59:00-06:00"), a_click("2018-10-18T16:30:00-06:00"), session="goes out of it"),
        a_log(a_click("2018-10-18T14:00:00-06:00"), a_click("2018-10-18T17:00:00-06:00"), session="goes through it"),
        a_log(a_click("2018-10-18T14:00:00-06:00"), a_click("2018-10-18T14:59:59-06:00"), session="ends before"),
        a_log(a_click("2018-10-18T16:00:00-06:00"), session="begins after"),
    )
    found = _sessions(viewer.get(LIST, {"from": "2018-10-18T21:00", "to": "2018-10-18T22:00"}))
    assert found == ["goes out of it", "goes into it", "goes through it"]


def test_pages_go_there_and_back_without_a_gap(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs._logs_by_time", pages.Pager(["-first_time", "-id"], "first_time", size=2))
    # Several at one instant: the id decides.
    store_logs(*(_of(f"s{number}") for number in range(5)))
    answers = [viewer.get(LIST)]
    while answers[-1].context["page"].next:
        answers.append(viewer.get(LIST + answers[-1].context["page"].next))
    assert [_sessions(answer) for answer in answers] == [["s4", "s3"], ["s2", "s1"], ["s0"]]
    back = viewer.get(LIST + answers[-1].context["page"].previous)
    assert _sessions(back) == ["s2", "s1"]
    first = viewer.get(LIST + back.context["page"].previous)
    assert _sessions(first) == ["s4", "s3"]
    assert not first.context["page"].previous or not _sessions(viewer.get(LIST + first.context["page"].previous))


def test_a_page_keeps_what_was_asked_for(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs._logs_by_time", pages.Pager(["-first_time", "-id"], "first_time", size=1))
    store_logs(_of("s1", "ann"), _of("s2", "bob"), _of("s3", "ann"))
    following = viewer.get(LIST, {"user": "ann"}).context["page"].next
    assert _sessions(viewer.get(LIST + following)) == ["s1"]


def test_a_filter_that_no_index_serves_says_how_far_it_looked_and_goes_on(viewer, monkeypatch):
    monkeypatch.setattr(pages, "MAX_ROWS_SEARCHED", 2)
    store_logs(_of("wanted", "ann", "", a_view("2018-10-01T00:00:00-06:00")))
    store_logs(*(_of(f"s{day}", time=f"2018-10-1{day}T00:00:00-06:00") for day in range(5)))
    answer, looks = viewer.get(LIST, {"types": "VIEW"}), 1
    while not _sessions(answer):
        assert "Searched 2 logs" in answer.text
        answer = viewer.get(LIST + answer.context["page"].next)
        looks += 1
    assert (_sessions(answer), looks) == (["wanted"], 3)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"from": "2018-10-19T00:00", "to": "2018-10-18T00:00"},
        {"from": "0001-01-01T00:00+23:00"},
        {"types": "WRONG"},
        {"q": "x" * 300},
        {"q": "\0"},
        {"user": "\0"},
    ],
    ids=str,
)
def test_a_filter_that_makes_no_sense_is_explained(viewer, query):
    store_logs(_of("s1"))
    answer = viewer.get(LIST, query)
    assert _sessions(answer) == []
    assert "errorlist" in answer.text


@pytest.mark.parametrize(
    "cursor", ["x", "!!!", "W10", "WzEsMl0", "W251bGwsbnVsbF0", "WyIyMDE4LTEwLTE4VDAwOjAwOjAwIiwxXQ", "W1tbW1s" * 1000]
)
def test_an_altered_place_is_no_error(viewer, cursor):
    store_logs(_of("s1"))
    assert _sessions(viewer.get(LIST, {"after": cursor})) == ["s1"]


def test_the_list_takes_as_many_queries_for_many_logs_as_for_one(viewer, django_assert_max_num_queries):
    store_logs(_of("s0"))
    viewer.get(LIST)
    # The session, its user, that user's permissions in two, the page and the estimate.
    with django_assert_max_num_queries(6) as few:
        viewer.get(LIST)
    store_logs(*(_of(f"s{number}", f"user{number}") for number in range(1, 60)))
    with django_assert_max_num_queries(len(few)):
        viewer.get(LIST)


def test_a_log_tells_what_happened_with_the_time_between(viewer):
    store_logs(
        a_log(
            a_click("2018-10-18T21:37:28-06:00"),
            a_view("2018-10-18T21:37:30-06:00", "FDJKLHSLD"),
            a_navigation("2018-10-18T22:40:30-06:00", "communities", "inventory", reason="bored"),
            session="story",
        )
    )
    answer = viewer.get(_page_of("story"))
    told = [(entry.words, entry.gap_in_words, entry.is_after_a_pause) for entry in answer.context["timeline"]]
    assert told == [
        ("clicked at 52, 11", "", False),
        ("viewed FDJKLHSLD", "+2 s", False),
        ("navigated from communities to inventory", "+1 h 3 min", True),
    ]
    assert "1 h 3 min" in answer.context["span"]
    assert "&quot;reason&quot;: &quot;bored&quot;" in answer.text


def test_numbers_are_told_as_they_were_sent(viewer, post):
    post(
        b'[{"userId": "u", "sessionId": "story", "actions": [{"time": "2018-10-18T21:37:28-06:00", "type": "CLICK",'
        b' "properties": {"locationX": 0.10, "locationY": 1e-400}}]}]'
    )
    assert "clicked at 0.10, 1e-400" in viewer.get(_page_of("story")).text


def test_what_users_sent_is_never_markup(viewer):
    evil = '"><script>alert(1)</script>'
    store_logs(a_log(a_view(viewed_id=evil), user=evil, session=evil))
    for url in (LIST, _page_of(evil), "/admin/logs/action/"):
        answer = viewer.get(url)
        assert "alert(1)" in answer.text
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "text, html",
    [
        ("ann", "<bdi>ann</bdi>"),
        ("<b>", "<bdi>&lt;b&gt;</bdi>"),
        ("\u202eresU\n", '<bdi title="\\u202eresU\\u000a">\\u202eresU\\u000a</bdi>'),
        ("0123456789", '<bdi title="0123456789">012…789</bdi>'),
    ],
)
def test_what_users_sent_changes_nothing_around_it(text, html):
    assert shown(text, 8) == html


def test_no_page_shows_the_controls_in_a_text(viewer):
    evil = "\u202eresu siht esarE"
    store_logs(a_log(a_view(viewed_id=evil), a_navigation(page_from=evil, page_to="x"), user=evil, session=evil))
    viewer.force_login(a_staff_user("view_log", "view_action", "delete_log", "erase_user", name="eraser"))
    log, action = Log.objects.get(), Action.objects.defer("properties").first()
    for url in (
        LIST,
        _page_of(evil),
        f"{LIST}{log.id}/delete/",
        f"{LIST}{log.id}/erase-user/",
        "/admin/logs/action/",
        reverse("admin:logs_action_change", args=[action.id]),
    ):
        text = viewer.get(url).text
        assert r"\u202eresu siht esarE" in text
        # What was stored stays as it was where the JSON is shown.
        assert "\u202e" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)


def test_a_long_log_is_shown_in_pages_and_the_gap_reaches_over_them(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs.session_pager", pages.Pager(["time", "id"], size=2))
    store_logs(a_log(*(a_click(f"2018-10-18T21:37:0{second}-06:00", x=second) for second in range(5))))
    url = reverse("admin:logs_log_change", args=[Log.objects.get().id])
    first = viewer.get(url)
    second = viewer.get(url + first.context["page"].next)
    told = [(entry.words, entry.gap_in_words) for entry in second.context["timeline"]]
    assert told == [("clicked at 2, 11", "+1 s"), ("clicked at 3, 11", "+1 s")]


def test_every_page_of_a_log_shows_the_lanes_of_all_of_it(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs.session_pager", pages.Pager(["time", "id"], size=2))
    store_logs(
        a_log(
            a_click("2018-10-18T10:00:00-06:00"),
            a_click("2018-10-18T10:00:00-06:00"),
            a_view("2018-10-18T10:00:10-06:00"),
            a_navigation("2018-10-18T23:00:00-06:00"),
            session="long",
        )
    )
    first = viewer.get(_page_of("long"))
    last = viewer.get(_page_of("long") + first.context["page"].next)
    for answer, position in ((first, "1–2 of 4 actions"), (last, "3–4 of 4 actions")):  # noqa: RUF001
        assert position in answer.text
        lanes = answer.context["lanes"]
        drawn = {
            kind.value: [(mark.count, f"{mark.start:%H:%M:%S}") for mark in marks]
            for kind, marks in lanes.marks.items()
        }
        assert drawn == {"CLICK": [(2, "16:00:00")], "VIEW": [(1, "16:00:10")], "NAVIGATE": [(1, "05:00:00")]}
        # The pause of thirteen hours takes five minutes of the lanes.
        assert [mark.percent for marks in lanes.marks.values() for mark in marks] == [0.31, 3.44, 99.69]
        assert (lanes.pauses, lanes.is_whole) == ([99.69], True)
        # Of several days, so a time alone would not tell.
        assert "10-18 16:00" in answer.text


def test_lanes_say_where_they_end(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.timeline.MAX_IN_LANES", 2)
    store_logs(a_log(*(a_click(f"2018-10-18T21:37:0{second}-06:00") for second in range(3)), session="long"))
    lanes = viewer.get(_page_of("long")).context["lanes"]
    assert (len(lanes.marks["CLICK"]), lanes.is_whole) == (2, False)


def test_a_log_can_be_entered_at_its_end_and_at_any_time(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs.session_pager", pages.Pager(["time", "id"], size=2))
    store_logs(a_log(*(a_click(f"2018-10-18T21:37:0{second}-06:00", x=second) for second in range(5)), session="long"))

    def told(answer) -> list[str]:
        return [entry.words for entry in answer.context["timeline"]]

    first = viewer.get(_page_of("long"))
    assert told(viewer.get(f"{_page_of('long')}?{first.context['last']}")) == ["clicked at 3, 11", "clicked at 4, 11"]
    there = viewer.get(_page_of("long"), {"at": "2018-10-19T03:37:02"}, follow=True)
    assert told(there) == ["clicked at 2, 11", "clicked at 3, 11"]
    assert "3–4 of 5 actions" in there.text  # noqa: RUF001
    mark = first.context["lanes"].marks["CLICK"][1]
    assert f"?at={mark.start:%Y-%m-%dT%H:%M:%S.%f}#actions" in first.text
    assert "Enter a valid date/time." in viewer.get(_page_of("long"), {"at": "later"}).text


def test_a_click_says_the_page_that_it_was_on(viewer):
    store_logs(
        a_log(
            a_click("2018-10-18T10:00:00-06:00"),
            a_navigation("2018-10-18T10:00:01-06:00", "home", "shop"),
            a_click("2018-10-18T10:00:02-06:00"),
            session="story",
        )
    )
    assert [entry.page for entry in viewer.get(_page_of("story")).context["timeline"]] == ["home", "", "shop"]
    last = Action.objects.order_by("-time").first()
    assert "<bdi>shop</bdi>" in viewer.get(reverse("admin:logs_action_change", args=[last.id])).text


def test_a_whole_log_can_be_taken_out(viewer):
    store_logs(_of("s1", "an/n & co"), _of("s2", "an/n & co"))
    answer = viewer.get(_page_of("s1"))
    query = answer.context["export_query"]
    assert f"/admin/logs/action/export.csv?{query.replace('&', '&amp;')}" in answer.text
    lines = viewer.get(f"/admin/logs/action/export.ndjson?{query}").getvalue().splitlines()
    assert [json.loads(line)["sessionId"] for line in lines] == ["s1"]


def test_an_action_leads_to_its_place_in_the_session(viewer, monkeypatch):
    monkeypatch.setattr("logs.admin.logs.session_pager", pages.Pager(["time", "id"], size=2))
    store_logs(a_log(*(a_click(x=number) for number in range(5)), session="long"))
    third = Action.objects.order_by("time", "id")[2]
    answer = viewer.get(reverse("admin:logs_action_change", args=[third.id]))
    place = answer.context["in_session"]
    assert f'href="{_page_of("long")}{place}"' in answer.text
    shown = viewer.get(_page_of("long") + place.partition("#")[0])
    assert shown.context["timeline"][0].action.id == third.id
    assert f'id="{place.partition("#")[2]}"' in shown.text


def test_a_long_log_takes_as_many_queries_as_a_short_one(viewer, django_assert_max_num_queries):
    store_logs(a_log(session="short"), a_log(*[a_click()] * 1500, session="long"))
    counts = []
    for session in ("short", "long"):
        with django_assert_max_num_queries(16) as queries:
            answer = viewer.get(_page_of(session))
        counts.append(len(queries))
        assert len(answer.context["timeline"]) <= 100
    assert counts[0] == counts[1]


def test_a_log_links_to_the_other_logs_of_its_user(viewer):
    store_logs(_of("s1", "an/n & co"), _of("s2", "an/n & co"), _of("s3", "an/n & co"), _of("x", "bob"))
    answer = viewer.get(_page_of("s2"))
    assert (answer.context["previous_log"].session_id, answer.context["next_log"].session_id) == ("s1", "s3")
    assert [log.session_id for log in answer.context["other_logs"]] == ["s3", "s1"]
    everything = f"{LIST}?user=an%2Fn%20%26%20co"
    assert everything in answer.text
    assert _sessions(viewer.get(everything)) == ["s3", "s2", "s1"]


@pytest.mark.parametrize("log_id", ["0", "99999", "9" * 40, "9" * 5_000, "-1", "x"])
def test_a_log_that_is_not_there_is_not_found(viewer, log_id):
    assert viewer.get(f"{LIST}{log_id}/change/").status_code == 404


def test_properties_of_any_size_stay_out_of_the_timeline_until_asked_for(viewer):
    store_logs(a_log(a_click(note="n" * 30_000), session="large"))
    answer = viewer.get(_page_of("large"))
    assert "n" * 100 not in answer.text
    assert "n" * 30_000 in viewer.get(reverse("admin:logs_action_change", args=[Action.objects.get().id])).text


@pytest.mark.parametrize("url", [LIST, "/admin/logs/action/", "/admin/insights/"])
def test_an_empty_store_says_how_to_fill_it(viewer, url):
    text = viewer.get(url).text
    assert "curl http://testserver/logs/" in text
    assert "demodata" in text
    store_logs(_of("s1"))
    assert "demodata" not in viewer.get(url + "?" + urlencode({"user": "nobody"})).text


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0 s"), (0.5, "0.5 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_a_length_of_time_is_said_in_two_units(seconds, words):
    assert duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize("about, said", [(0, "0 logs"), (1, "1 log"), (2, "2 logs"), (5_000_000, "5,000,000 logs")])
def test_the_total_is_counted_in_english(about, said):
    context = {"page": pages.Page([]), "about": about, "what": "log"}
    assert f">about {said} in total<" in render_to_string("admin/logs/_pages.html", context)

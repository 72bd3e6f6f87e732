"""The list of actions, and its export."""

from __future__ import annotations

import csv
import io
import json
from operator import itemgetter

import pytest

from logs.admin import pages
from logs.lib.times import WIRE_ZONE
from logs.models import Action, Log
from tests.builders import a_click, a_log, a_navigation, a_view, places, refusal, store_logs

pytestmark = pytest.mark.django_db

LIST = "/admin/logs/action/"


@pytest.fixture
def three_sessions():
    store_logs(
        a_log(
            a_click("2018-10-18T10:00:00-06:00", 52, 11),
            a_view("2018-10-18T10:01:00-06:00", "shoe"),
            user="ann",
            session="a1",
        ),
        a_log(a_navigation("2018-10-18T10:02:00-06:00", "home", "cart"), user="bob", session="b1"),
        a_log(a_click("2018-10-18T09:00:00-06:00", -5, 1e3), user="ann", session="a2"),
    )


def _words(answer) -> list[str]:
    assert answer.status_code == 200
    return [entry.words for entry in answer.context["entries"]]


CLICK, VIEW, NAVIGATE, EARLY = (
    "clicked at 52, 11",
    "viewed shoe",
    "navigated from home to cart",
    "clicked at -5, 1000.0",
)

SELECTIONS = [
    pytest.param({}, [NAVIGATE, VIEW, CLICK, EARLY], id="everything, newest first"),
    pytest.param({"user": "ann"}, [EARLY, VIEW, CLICK], id="a user's, the newest session first"),
    pytest.param({"user": "an"}, [], id="no other user's"),
    pytest.param({"types": ["CLICK", "NAVIGATE"]}, [NAVIGATE, CLICK, EARLY], id="by types"),
    pytest.param({"from": "2018-10-18T16:00", "to": "2018-10-18T16:02"}, [VIEW, CLICK], id="by time, until before"),
    pytest.param({"user": "ann", "types": "CLICK", "from": "2018-10-18T16:00"}, [CLICK], id="by all three"),
    pytest.param({"viewedId": "shoe"}, [VIEW], id="by the id viewed"),
    pytest.param({"pageFrom": "home", "pageTo": "cart"}, [NAVIGATE], id="by the path"),
    pytest.param({"pageFrom": "cart"}, [], id="by another path"),
    pytest.param({"box": "40,0,60,20"}, [CLICK], id="by the square"),
    pytest.param({"box": "-20,1000,0,1020"}, [EARLY], id="by a square left of the corner"),
    pytest.param({"box": "60,0,80,20"}, [], id="by the square beside"),
]


@pytest.mark.parametrize("query, words", SELECTIONS)
def test_the_list_shows_what_is_selected(viewer, three_sessions, query, words):
    assert _words(viewer.get(LIST, query)) == words


@pytest.mark.parametrize("query, words", SELECTIONS)
def test_an_export_holds_what_the_list_shows(viewer, three_sessions, query, words):
    answer = viewer.get(f"{LIST}export.ndjson", query)
    actions = [action for line in answer.getvalue().splitlines() for action in json.loads(line)["actions"]]
    assert answer.streaming
    assert {(one["time"], one["type"]) for one in actions} == {
        (entry.action.time.astimezone(WIRE_ZONE).isoformat(), entry.action.type)
        for entry in viewer.get(LIST, query).context["entries"]
    }
    assert len(actions) == len(words)


def test_ndjson_is_the_wires_so_that_it_can_be_imported(viewer, three_sessions, command, get, tmp_path):
    before = get(order="newest")
    (tmp_path / "actions.ndjson").write_bytes(viewer.get(f"{LIST}export.ndjson").getvalue())
    Action.objects.all().delete()
    Log.objects.all().delete()
    command("importlogs", tmp_path / "actions.ndjson")
    assert sorted(get(), key=itemgetter("sessionId")) == sorted(before, key=itemgetter("sessionId"))


@pytest.mark.parametrize(
    "query, name",
    [
        ({}, "actions.csv"),
        (
            {"user": "ann", "types": "CLICK", "from": "2018-10-01T00:00", "to": "2018-11-01T08:30"},
            "actions-ann-CLICK-from-2018-10-01-to-2018-11-01T083000.csv",
        ),
        ({"user": '../é"\r\nX: y'}, "actions-__X_y.csv"),
        ({"session": "s" * 200, "box": "1,2,3,4"}, f"actions-{'s' * 60}-filtered.csv"),
    ],
    ids=str,
)
def test_an_export_is_named_by_what_it_holds(viewer, three_sessions, query, name):
    answer = viewer.get(f"{LIST}export.csv", query)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    answer.close()


def test_rows_are_exported_by_time_and_the_list_says_the_zone_of_the_files(viewer, three_sessions):
    rows = csv.DictReader(io.StringIO(viewer.get(f"{LIST}export.csv", {"user": "ann"}).getvalue().decode()))
    times = [row["time"] for row in rows]
    assert times == sorted(times)
    assert times[0] == "2018-10-18T09:00:00-06:00"
    assert "Times in the files have the offset UTC-06:00." in viewer.get(LIST).text


def test_a_json_export_is_the_wires_too(viewer, three_sessions):
    logs = json.loads(viewer.get(f"{LIST}export.json", {"user": "bob"}).getvalue())
    assert logs == [a_log(a_navigation("2018-10-18T10:02:00-06:00", "home", "cart"), user="bob", session="b1")]


def test_csv_has_a_column_for_each_known_property(viewer, three_sessions):
    rows = list(csv.DictReader(io.StringIO(viewer.get(f"{LIST}export.csv").getvalue().decode())))
    assert [row["type"] for row in rows] == ["CLICK", "CLICK", "VIEW", "NAVIGATE"]
    assert (rows[1]["userId"], rows[1]["sessionId"], rows[1]["locationX"], rows[1]["viewedId"]) == (
        "ann",
        "a1",
        "52",
        "",
    )
    assert (rows[3]["pageFrom"], rows[3]["pageTo"]) == ("home", "cart")
    assert json.loads(rows[2]["properties"]) == {"viewedId": "shoe"}
    assert rows[0]["time"] == "2018-10-18T09:00:00-06:00"


@pytest.mark.parametrize("start", "=+-@")
def test_csv_holds_no_formula_for_a_spreadsheet(viewer, start):
    store_logs(a_log(a_view(viewed_id=f"{start}1+1"), user=f"{start}cmd", session=f"{start}x"))
    row = next(csv.DictReader(io.StringIO(viewer.get(f"{LIST}export.csv").getvalue().decode())))
    assert (row["userId"], row["sessionId"], row["viewedId"]) == (f"'{start}cmd", f"'{start}x", f"'{start}1+1")


def test_a_long_export_is_whole_and_ordered(viewer):
    store_logs(a_log(*(a_click(f"2018-10-18T21:{n // 60:02}:{n % 60:02}-06:00", x=n) for n in range(2500))))
    [log] = map(json.loads, viewer.get(f"{LIST}export.ndjson").getvalue().splitlines())
    assert [action["properties"]["locationX"] for action in log["actions"]] == list(range(2500))


@pytest.mark.parametrize("query", ["types=WRONG", "from=x", "box=1,2,3", "user=%00"])
def test_a_selection_that_makes_no_sense_is_refused_not_exported(viewer, three_sessions, query):
    assert viewer.get(f"{LIST}export.csv?{query}").status_code == 400
    assert _words(viewer.get(f"{LIST}?{query}")) == []


def test_a_refused_export_names_the_parameter_in_the_contracts_error_body(viewer, three_sessions):
    answer = viewer.get(f"{LIST}export.csv?box=1,2,3&types=WRONG")
    assert refusal(answer) == (400, "INVALID_PARAMETER")
    assert set(places(answer)) == {("INVALID_PARAMETER", "box"), ("INVALID_PARAMETER", "types")}


def test_another_format_is_not_found(viewer):
    assert viewer.get(f"{LIST}export.xlsx").status_code == 404


@pytest.mark.parametrize("query", [{}, {"user": "ann"}, {"types": "CLICK"}], ids=str)
def test_pages_show_every_action_once(viewer, monkeypatch, query):
    monkeypatch.setattr("logs.admin.actions._by_time", pages.Pager(["-time", "-id"], size=3))
    monkeypatch.setattr("logs.admin.actions._by_session", pages.Pager(["-log_id", "-time", "-id"], size=3))
    store_logs(*(a_log(*[a_click()] * 4, user="ann", session=f"a{n}") for n in range(3)))
    seen, answer = [], viewer.get(LIST, query)
    while True:
        seen += [entry.action.id for entry in answer.context["entries"]]
        if not answer.context["page"].next:
            break
        answer = viewer.get(LIST + answer.context["page"].next)
    assert len(seen) == 12
    assert set(seen) == set(Action.objects.values_list("id", flat=True))


def test_an_extra_member_named_like_a_location_is_not_one(viewer):
    store_logs(a_log(a_view(locationX="abc", locationY=[1]), session="s"))
    assert _words(viewer.get(LIST, {"box": "0,0,20,20"})) == []


def test_the_list_takes_as_many_queries_for_many_actions_as_for_one(viewer, django_assert_max_num_queries):
    store_logs(a_log(a_click(), session="s0"))
    viewer.get(LIST)
    with django_assert_max_num_queries(11) as few:
        viewer.get(LIST)
    store_logs(*(a_log(user=f"u{n}", session=f"s{n}") for n in range(1, 50)))
    with django_assert_max_num_queries(len(few)):
        viewer.get(LIST)


def _page_of(action: Action) -> str:
    return f"{LIST}{action.id}/change/"


@pytest.mark.parametrize(
    "number", ["1e400", "1" + "0" * 5_000, "0.10", "1E-400"], ids=["beyond a float", "5,000 digits", "a zero", "tiny"]
)
def test_an_action_shows_its_properties_as_they_were_stored(viewer, post, number):
    body = (
        '[{"userId": "u", "sessionId": "s", "actions": [{"time": "2018-10-18T08:00:00-06:00", "type": "CLICK",'
        f' "properties": {{"locationX": 1, "locationY": 2, "more": {number}}}}}]}}]'
    )
    assert post(body.encode()).status_code == 200
    answer = viewer.get(_page_of(Action.objects.defer("properties").get()))
    assert answer.status_code == 200
    assert f"&quot;more&quot;: {number}\n}}" in answer.text


def test_an_action_names_its_user_session_time_and_type(viewer, three_sessions):
    action = Action.objects.get(type="NAVIGATE")
    answer = viewer.get(_page_of(action))
    for text in ("bob", "b1", "2018-10-18 16:02:00", "Navigate"):
        assert text in answer.text
    assert f"/admin/logs/log/{action.log_id}/change/" in answer.text


@pytest.mark.parametrize("action_id", ["0", "99999", "9" * 40, "9" * 5_000, "-1", "x", "1_0"])
@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_an_action_that_is_not_there_is_not_found(viewer, three_sessions, action_id, page):
    assert viewer.get(f"{LIST}{action_id}/{page}/").status_code in (403, 404)
    assert viewer.get(f"{LIST}{action_id}/change/").status_code == 404

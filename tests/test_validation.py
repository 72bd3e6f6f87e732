"""Every rule of the contract for a log and an action: the code and the place of what breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders import (
    TIME,
    a_click,
    a_log,
    a_navigation,
    a_view,
    places,
    refusal,
    some_logs,
    stored_actions,
    stored_logs,
)

pytestmark = pytest.mark.django_db

ABSENT = object()
NUL, SURROGATE = "a\0b", "a\ud800b"
FORBIDDEN = [NUL, SURROGATE, "\udfff", "\ude00\ud83d"]


def changed(value: dict[str, Any], name: str, new: Any) -> dict[str, Any]:
    """A copy of an object with another member, without it where that is ABSENT."""
    return {**{key: old for key, old in value.items() if key != name}, **({} if new is ABSENT else {name: new})}


def shown(value: Any) -> str:
    return "absent" if value is ABSENT else ascii(value)[:30]


def assert_refused(answer, *violations: tuple[str, str]) -> None:
    assert refusal(answer) == (400, violations[0][0])
    assert places(answer) == list(violations)
    assert (stored_logs(), stored_actions()) == (0, 0)


# --- A log -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [None, 1, 1.5, True, "text", "", [], [a_log()]], ids=shown)
def test_a_log_that_is_not_an_object_is_refused(post, log):
    assert_refused(post([a_log(), log]), ("INVALID_LOG", "/1"))


@pytest.mark.parametrize("member, name", [("userId", "USERID"), ("sessionId", "SESSIONID"), ("actions", "ACTIONS")])
@pytest.mark.parametrize("value", [ABSENT, None, "", []], ids=shown)
def test_a_log_without_a_member_is_refused(post, member, name, value):
    assert_refused(post([a_log(), changed(a_log(), member, value)]), (f"MISSING_{name}", f"/1/{member}"))


@pytest.mark.parametrize("member, name", [("userId", "USERID"), ("sessionId", "SESSIONID")])
@pytest.mark.parametrize("value", [0, 1, 1.5, True, False, {}, {"a": 1}, ["a"], [NUL], "x" * 256, "é" * 256], ids=shown)
def test_an_id_that_is_no_string_or_too_long_is_refused(post, member, name, value):
    assert_refused(post([changed(a_log(), member, value)]), (f"INVALID_{name}", f"/0/{member}"))


@pytest.mark.parametrize("value", ["x", " ", "x" * 255, "\U0001f600" * 255], ids=shown)
def test_an_id_of_1_to_255_characters_is_taken(post, get, value):
    batch = [a_log(user=value, session=value)]
    assert post(batch).status_code == 200
    assert get() == batch


@pytest.mark.parametrize("value", [0, 1, True, False, {}, {"0": a_click()}, "text"], ids=shown)
def test_actions_that_are_no_array_are_refused(post, value):
    assert_refused(post([changed(a_log(), "actions", value)]), ("INVALID_ACTIONS", "/0/actions"))


def test_a_log_is_checked_in_the_order_of_the_contract(post):
    log = {"actions": [], "sessionId": 7, "userId": None}
    assert_refused(
        post([log]),
        ("MISSING_USERID", "/0/userId"),
        ("INVALID_SESSIONID", "/0/sessionId"),
        ("MISSING_ACTIONS", "/0/actions"),
    )


def test_a_log_without_any_member_is_refused_for_each(post):
    assert_refused(
        post([{}]),
        ("MISSING_USERID", "/0/userId"),
        ("MISSING_SESSIONID", "/0/sessionId"),
        ("MISSING_ACTIONS", "/0/actions"),
    )


def test_members_are_found_by_their_exact_names(post):
    log = {"userID": "a", "UserId": "a", "sessionid": "b", "Actions": [a_click()]}
    assert [code for code, _ in places(post([log]))] == ["MISSING_USERID", "MISSING_SESSIONID", "MISSING_ACTIONS"]


# --- An action -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [None, {}], ids=shown)
def test_an_empty_action_is_refused(post, action):
    assert_refused(post([a_log(a_click(), action)]), ("EMPTY_ACTION", "/0/actions/1"))


@pytest.mark.parametrize("action", ["", "CLICK", 0, 1, False, True, [], [a_click()]], ids=shown)
def test_an_action_that_is_not_an_object_is_refused(post, action):
    assert_refused(post([a_log(a_click(), action)]), ("INVALID_ACTION", "/0/actions/1"))


@pytest.mark.parametrize(
    "member, code",
    [("type", "MISSING_TYPE_VALUE"), ("properties", "MISSING_PROPERTIES_VALUE"), ("time", "MISSING_TIME_VALUE")],
)
@pytest.mark.parametrize("value", [ABSENT, None, "", {}], ids=shown)
def test_an_action_without_a_member_is_refused(post, member, code, value):
    assert_refused(post([a_log(changed(a_click(), member, value))]), (code, f"/0/actions/0/{member}"))


@pytest.mark.parametrize("value", [[], [{}], "text", 0, 1, True, False], ids=shown)
def test_properties_that_are_no_object_are_refused(post, value):
    action = changed(a_click(), "properties", value)
    assert_refused(post([a_log(action)]), ("INVALID_PROPERTIES", "/0/actions/0/properties"))


@pytest.mark.parametrize("value", [0, 1, True, False, [], ["CLICK"], {"a": 1}, "click", "CLICK ", "WRONG"], ids=shown)
def test_an_unknown_type_is_refused(post, value):
    assert_refused(post([a_log(changed(a_click(), "type", value))]), ("INVALID_ACTION_TYPE", "/0/actions/0/type"))


@pytest.mark.parametrize("value", [0, 1539920248, True, False, [], [TIME], {"a": 1}, "now"], ids=shown)
def test_a_time_that_is_none_is_refused(post, value):
    assert_refused(post([a_log(changed(a_click(), "time", value))]), ("INVALID_TIME_FORMAT", "/0/actions/0/time"))


ORDER_OF_CHECKS = [
    ({"other": 1}, "MISSING_TYPE_VALUE", "/type"),
    ({"type": "NO"}, "MISSING_PROPERTIES_VALUE", "/properties"),
    ({"type": "NO", "properties": 7}, "MISSING_TIME_VALUE", "/time"),
    ({"type": "NO", "properties": 7, "time": "no"}, "INVALID_TIME_FORMAT", "/time"),
    ({"type": "NO", "properties": 7, "time": TIME}, "INVALID_ACTION_TYPE", "/type"),
    ({"type": "VIEW", "properties": 7, "time": TIME}, "INVALID_PROPERTIES", "/properties"),
    ({"type": "VIEW", "properties": {"other": NUL}, "time": TIME}, "MISSING_VIEWEDID_VALUE", "/properties/viewedId"),
    (a_view(other=NUL), "INVALID_CHARACTER", "/properties/other"),
]


@pytest.mark.parametrize("action, code, place", ORDER_OF_CHECKS, ids=[code for _, code, _ in ORDER_OF_CHECKS])
def test_an_action_is_reported_for_its_first_violation(post, action, code, place):
    assert_refused(post([a_log(action)]), (code, f"/0/actions/0{place}"))


# --- Properties ------------------------------------------------------------------------------------------------------

MEMBERS = [
    (a_click(), "locationX", "LOCATION_X"),
    (a_click(), "locationY", "LOCATION_Y"),
    (a_view(), "viewedId", "VIEWEDID"),
    (a_navigation(), "pageFrom", "PAGEFROM"),
    (a_navigation(), "pageTo", "PAGETO"),
]
NUMBERS, STRINGS = MEMBERS[:2], MEMBERS[2:]


def with_member(action: dict[str, Any], member: str, value: Any) -> dict[str, Any]:
    # Another member, so that the properties are never empty.
    return {**action, "properties": changed({**action["properties"], "other": 1}, member, value)}


@pytest.mark.parametrize("action, member, name", MEMBERS, ids=[name for _, _, name in MEMBERS])
@pytest.mark.parametrize("value", [ABSENT, None, ""], ids=shown)
def test_a_missing_member_of_properties_is_refused(post, action, member, name, value):
    answer = post([a_log(with_member(action, member, value))])
    assert_refused(answer, (f"MISSING_{name}_VALUE", f"/0/actions/0/properties/{member}"))


@pytest.mark.parametrize("action, member, name", NUMBERS, ids=[name for _, _, name in NUMBERS])
@pytest.mark.parametrize(
    "value", ["1", "x", " ", True, False, [], [1], {}, {"a": 1}, 2**53, -(2**53), 1e300], ids=shown
)
def test_a_location_that_is_no_number_within_range_is_refused(post, action, member, name, value):
    answer = post([a_log(with_member(action, member, value))])
    assert_refused(answer, (f"INVALID_{name}_VALUE", f"/0/actions/0/properties/{member}"))


@pytest.mark.parametrize("action, member, name", STRINGS, ids=[name for _, _, name in STRINGS])
@pytest.mark.parametrize("value", [0, 1, 1.5, True, False, [], ["a"], {}, {"a": 1}, "x" * 2049, "é" * 2049], ids=shown)
def test_a_text_that_is_no_string_or_too_long_is_refused(post, action, member, name, value):
    answer = post([a_log(with_member(action, member, value))])
    assert_refused(answer, (f"INVALID_{name}_VALUE", f"/0/actions/0/properties/{member}"))


@pytest.mark.parametrize("action, member, name", STRINGS, ids=[name for _, _, name in STRINGS])
@pytest.mark.parametrize("value", ["x", " ", "x" * 2048, "\U0001f600" * 2048], ids=shown)
def test_a_text_of_1_to_2048_characters_is_taken(post, get, action, member, name, value):
    batch = [a_log(with_member(action, member, value))]
    assert post(batch).status_code == 200
    assert get() == batch


FAULTS = [(None, "MISSING"), ("", "MISSING"), ([], "INVALID"), (NUL, "INVALID_CHARACTER")]


@pytest.mark.parametrize("second, second_kind", FAULTS, ids=[shown(value) for value, _ in FAULTS])
@pytest.mark.parametrize("first, first_kind", FAULTS, ids=[shown(value) for value, _ in FAULTS])
@pytest.mark.parametrize(
    "make, names",
    [
        (a_click, [("locationX", "LOCATION_X_VALUE"), ("locationY", "LOCATION_Y_VALUE")]),
        (a_navigation, [("pageFrom", "PAGEFROM_VALUE"), ("pageTo", "PAGETO_VALUE")]),
    ],
    ids=["CLICK", "NAVIGATE"],
)
def test_both_members_of_a_pair_are_reported_in_their_order(post, make, names, first, first_kind, second, second_kind):
    expected = [
        (kind if kind == "INVALID_CHARACTER" else f"{kind}_{name}", f"/0/actions/0/properties/{member}")
        for (member, name), kind in zip(names, [first_kind, second_kind], strict=True)
    ]
    action = make(TIME, first, second)
    action["properties"] = dict(reversed(action["properties"].items()))
    assert_refused(post([a_log(action)]), *expected)


def properties_of(size: int, filler: str = "x") -> dict[str, Any]:
    """The properties of a view that are so many bytes as compact JSON in UTF-8."""
    empty = len('{"viewedId":"v","other":""}')
    width = len(filler.encode())
    return {"viewedId": "v", "other": "x" * ((size - empty) % width) + filler * ((size - empty) // width)}


@pytest.mark.parametrize("filler", ["x", "é", "\U0001f600"])
def test_properties_of_32_kib_are_taken_and_one_byte_more_is_refused(post, get, filler):
    largest = changed(a_view(), "properties", properties_of(32 * 1024, filler))
    too_large = changed(a_view(), "properties", properties_of(32 * 1024 + 1, filler))
    assert_refused(post([a_log(too_large)]), ("INVALID_PROPERTIES", "/0/actions/0/properties"))
    assert post([a_log(largest)]).status_code == 200
    assert get() == [a_log(largest)]


def test_blanks_between_the_members_of_properties_do_not_count(post_bytes):
    body = json.dumps([a_log(a_view())]).replace('"viewedId":', '"viewedId":' + " " * 40_000)
    assert post_bytes(body).status_code == 200


# --- Forbidden characters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", FORBIDDEN, ids=ascii)
@pytest.mark.parametrize("member", ["userId", "sessionId", "actions"])
def test_a_forbidden_character_in_a_log_is_refused(post, member, text):
    assert_refused(post([changed(a_log(), member, text)]), ("INVALID_CHARACTER", f"/0/{member}"))


@pytest.mark.parametrize("text", FORBIDDEN, ids=ascii)
@pytest.mark.parametrize("member", ["type", "properties", "time"])
def test_a_forbidden_character_in_an_action_is_refused(post, member, text):
    assert_refused(post([a_log(changed(a_click(), member, text))]), ("INVALID_CHARACTER", f"/0/actions/0/{member}"))


@pytest.mark.parametrize(
    "body, place",
    [(NUL, ""), ([NUL], "/0"), ([a_log(NUL)], "/0/actions/0")],  # type: ignore[arg-type]
    ids=["body", "log", "action"],
)
def test_a_forbidden_character_is_found_before_the_type_of_its_string(post_bytes, body, place):
    assert_refused(post_bytes(json.dumps(body)), ("INVALID_CHARACTER", place))


@pytest.mark.parametrize("text", [*FORBIDDEN, NUL * 2048], ids=lambda text: ascii(text)[:20])
@pytest.mark.parametrize("action, member, name", MEMBERS, ids=[name for _, _, name in MEMBERS])
def test_a_forbidden_character_in_properties_is_refused(post, action, member, name, text):
    answer = post([a_log(with_member(action, member, text))])
    assert_refused(answer, ("INVALID_CHARACTER", f"/0/actions/0/properties/{member}"))


def test_a_forbidden_character_in_an_id_that_is_too_long_is_refused(post):
    assert_refused(post([a_log(user=NUL * 256)]), ("INVALID_CHARACTER", "/0/userId"))


@pytest.mark.parametrize("text", FORBIDDEN, ids=ascii)
@pytest.mark.parametrize(
    "make, place",
    [
        (lambda text: {"other": text}, "/other"),
        (lambda text: {"a/b~c": {"": [1, {"é": text}]}}, "/a~1b~0c//1/é"),
        (lambda text: {text: 1}, ""),
        (lambda text: {"other": [{"a": {text: 1}}]}, "/other/0/a"),
        (lambda text: {"first": [text], "second": text}, "/first/0"),
    ],
    ids=["member", "nested", "name", "nested name", "two"],
)
def test_a_forbidden_character_in_what_is_kept_is_refused(post, make, place, text):
    answer = post([a_log(a_view(**make(text)))])
    assert_refused(answer, ("INVALID_CHARACTER", f"/0/actions/0/properties{place}"))


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\U0001f600", "\ud7ff\ue000", "\x01"], ids=ascii)
def test_characters_that_only_look_forbidden_are_taken(post, get, text):
    batch = [a_log(a_view(other=text, **{text: [text]}), user=text, session=text)]
    assert post(batch).status_code == 200
    assert get() == batch


def test_a_pair_of_surrogates_is_one_character(post_bytes, get):
    body = json.dumps([a_log(user="U")]).replace('"U"', '"\\ud83d\\ude00"')
    assert post_bytes(body).status_code == 200
    assert get() == [a_log(user="\U0001f600")]


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    ["52", "52.5", "0", "-0", "0.0", "1e2", "5E-1",
     "1e-400", "1E+15", "0e5", "1.5e1", "0.0000001", "-0.0", "1.10", "0.1", "9007199254740991", "-9007199254740991",
     "9007199254740990.999", "0.30000000000000000000000000000001", "123.4500000000000000000000000000000000000"],
)  # fmt: skip
def test_a_location_is_returned_exactly_as_sent(post_bytes, client, number):
    body = json.dumps([a_log(a_click(x="NUMBER", y=1))]).replace('"NUMBER"', number)
    assert post_bytes(body).status_code == 200
    assert f'"locationX":{number},'.encode() in client.get("/logs/").getvalue()


@pytest.mark.parametrize(
    "number",
    ["9007199254740992", "-9007199254740992", "9007199254740991.0000000000000000001", "1e400", "-1e400", "9" * 5000,
     "1e999999999999999999"],
    ids=lambda number: number[:30],
)  # fmt: skip
@pytest.mark.parametrize("member", ["x", "y"])
def test_a_location_out_of_range_is_refused(post_bytes, member, number):
    body = json.dumps([a_log(a_click(**{member: "NUMBER"}))]).replace('"NUMBER"', number)
    code = f"INVALID_LOCATION_{member.upper()}_VALUE"
    assert_refused(post_bytes(body), (code, f"/0/actions/0/properties/location{member.upper()}"))


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "1.10", "10000000000000000000000", "9" * 5000, "0." + "1" * 5000, "-" + "12" * 2000 + ".50"],
    ids=lambda number: number[:30],
)
def test_any_other_number_is_returned_exactly_as_sent(post_bytes, client, number):
    body = json.dumps([a_log(a_view(other="NUMBER", nested=[{"a": "NUMBER"}]))]).replace('"NUMBER"', number)
    assert post_bytes(body).status_code == 200
    answer = client.get("/logs/").getvalue().decode()
    assert f'"other":{number},"nested":[{{"a":{number}}}]' in answer


@pytest.mark.parametrize(
    "number", ["1e400", "-1E-400", "1.5e+9999", "1e22", "1.5e1", "0.0000001", "1.0e-007", "-0.0E+00"]
)
def test_any_other_number_with_an_exponent_is_returned_exactly_as_sent(post_bytes, client, number):
    body = json.dumps([a_log(a_view(other="NUMBER"))]).replace('"NUMBER"', number)
    assert post_bytes(body).status_code == 200
    assert f'"other":{number}}}' in client.get("/logs/").getvalue().decode()


@pytest.mark.parametrize(
    "number",
    ["1e99999999999999999999", "-1e-99999999999999999999", "0e99999999999999999999", "1E+" + "9" * 200],
    ids=["too large", "too small", "zero", "200 digits"],
)
@pytest.mark.parametrize("action", [a_view(other="NUMBER"), a_click(x="NUMBER")], ids=["other", "location"])
@pytest.mark.parametrize("others", [0, 3000], ids=["short body", "long body"])
def test_a_number_that_no_decimal_holds_is_refused(post_bytes, number, action, others):
    body = json.dumps([a_log(*[a_view()] * others, action)]).replace('"NUMBER"', number)
    assert refusal(post_bytes(body)) == (400, "INVALID_JSON")


# --- All of them -----------------------------------------------------------------------------------------------------


def test_all_violations_are_reported_in_document_order(post):
    batch = [
        a_log(a_click(), a_click(x=None, y="1"), user=""),
        None,
        a_log(),
        a_log(a_view(viewed_id=7), None, a_navigation(time="no"), session=1),
    ]
    assert_refused(
        post(batch),
        ("MISSING_USERID", "/0/userId"),
        ("MISSING_LOCATION_X_VALUE", "/0/actions/1/properties/locationX"),
        ("INVALID_LOCATION_Y_VALUE", "/0/actions/1/properties/locationY"),
        ("INVALID_LOG", "/1"),
        ("INVALID_SESSIONID", "/3/sessionId"),
        ("INVALID_VIEWEDID_VALUE", "/3/actions/0/properties/viewedId"),
        ("EMPTY_ACTION", "/3/actions/1"),
        ("INVALID_TIME_FORMAT", "/3/actions/2/time"),
    )


@pytest.mark.parametrize(
    "batch",
    [[{} for _ in range(200)], [a_log(*({} for _ in range(200)))], [a_log(a_view(), *([a_click(x=[], y=[])] * 99))]],
    ids=["logs", "actions", "pairs"],
)
def test_the_first_100_violations_are_reported(post, batch):
    answer = post(batch)
    assert len(places(answer)) == 100
    assert len(set(places(answer))) == 100
    assert stored_actions() == 0


def test_one_violation_less_than_100_are_all_reported(post):
    assert len(places(post([*some_logs(3), *[None] * 99, *some_logs(2)]))) == 99


def test_each_violation_says_in_a_sentence_what_is_wrong(post):
    violations = post([{}]).json()["errors"]
    assert [set(violation) for violation in violations] == [{"code", "pointer", "detail"}] * 3
    assert violations[0]["detail"] == "userId is required."
    assert post([{}]).json()["detail"] == "userId is required."

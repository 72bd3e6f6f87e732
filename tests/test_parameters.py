"""The query string of GET /logs/: what is no parameter, or has a value it can't take."""

from __future__ import annotations

import pytest

from tests.builders import a_log, a_view, places, refusal
from tests.conftest import decoded

pytestmark = pytest.mark.django_db


def assert_refused(answer, *violations: tuple[str, str]) -> None:
    assert refusal(answer) == (400, violations[0][0])
    assert places(answer) == list(violations)


@pytest.mark.parametrize(
    "name",
    ["userid", "UserId", "user", "type", "until", "offset", "page", "", "\x00", "é", "from ", "key[]", "__class__"],
)
@pytest.mark.parametrize("value", ["", "x"])
def test_an_unknown_parameter_is_refused(client, post, name, value):
    post([a_log()])
    assert_refused(client.get("/logs/", {name: value, "limit": "1"}), ("UNKNOWN_PARAMETER", name))


@pytest.mark.parametrize("query", ["x", "x=1&x=2", "=", "%ff=1", "userId=a;b=1&%00", "user%49d=a&%20userId=a"])
def test_an_odd_name_is_an_unknown_parameter(client, query):
    assert refusal(client.get(f"/logs/?{query}")) == (400, "UNKNOWN_PARAMETER")


@pytest.mark.parametrize(
    "query", ["", "&", "&&", "userId=", "userId", "userId=&sessionId=&from=&to=&types=&limit=&cursor=&order=&format="]
)
def test_an_empty_value_is_no_value(client, post, query):
    post([a_log(a_view())])
    answer = client.get(f"/logs/?{query}")
    assert (answer.status_code, decoded(answer)) == (200, [a_log(a_view())])


@pytest.mark.parametrize("name", ["userId", "sessionId", "from", "to", "limit", "cursor", "order", "format"])
@pytest.mark.parametrize("values", ["{0}=x&{0}=y", "{0}=x&{0}=x", "{0}=&{0}=", "{0}&types=VIEW&{0}=x"], ids=str)
def test_a_parameter_given_twice_is_refused(client, name, values):
    assert_refused(client.get("/logs/?" + values.format(name)), ("INVALID_PARAMETER", name))


@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "ten",
        " 1",
        "1 ",
        "1\n",
        "10001",
        "99999",
        "9" * 5000,
        "\u0661",
        "1_0",
        "0x1",
        "\0",
    ],
)
def test_a_limit_is_a_whole_number_from_1_to_10000(client, limit):
    assert_refused(client.get("/logs/", {"limit": limit}), ("INVALID_PARAMETER", "limit"))


@pytest.mark.parametrize("limit", ["1", "10000"])
def test_the_limits_of_limit_are_taken(client, limit):
    assert client.get("/logs/", {"limit": limit}).status_code == 200


@pytest.mark.parametrize(
    "name, value", [("order", "Oldest"), ("order", "asc"), ("order", "\0"), ("format", "xml"), ("format", "JSON")]
)
def test_a_choice_that_is_none_is_refused(client, name, value):
    assert_refused(client.get("/logs/", {name: value}), ("INVALID_PARAMETER", name))


@pytest.mark.parametrize(
    "types", ["WRONG", "click", "CLICK,", ",", "CLICK,,VIEW", "CLICK, VIEW", " ", "CLICK;VIEW", "\0", "CLICK,WRONG"]
)
def test_an_unknown_type_is_refused(client, types):
    assert_refused(client.get("/logs/", {"types": types}), ("INVALID_ACTION_TYPE", "types"))


@pytest.mark.parametrize("query", ["a%00b", "%00", "%ff", "%ed%a0%80", "%C3", "%c3%28", "a%F0%9F%98"])
def test_a_forbidden_character_in_a_user_is_refused(client, query):
    for name in ("userId", "sessionId"):
        assert_refused(client.get(f"/logs/?{name}={query}"), ("INVALID_CHARACTER", name))


@pytest.mark.parametrize("name, code", [
    ("from", "INVALID_TIME_FORMAT"),
    ("to", "INVALID_TIME_FORMAT"),
    ("types", "INVALID_ACTION_TYPE"),
    ("limit", "INVALID_PARAMETER"),
    ("order", "INVALID_PARAMETER"),
    ("format", "INVALID_PARAMETER"),
    ("cursor", "INVALID_CURSOR"),
])  # fmt: skip
@pytest.mark.parametrize("value", ["%00", "%ff", "%ed%a0%80", "a%00", "%20"])
def test_bytes_that_are_no_text_are_refused_in_any_parameter(client, name, code, value):
    assert_refused(client.get(f"/logs/?{name}={value}"), (code, name))


def test_a_plus_in_a_user_is_a_space(client, post):
    post([a_log(a_view(), user="a b"), a_log(a_view(), user="a+b")])
    assert decoded(client.get("/logs/?userId=a+b")) == [a_log(a_view(), user="a b")]
    assert decoded(client.get("/logs/?userId=a%2Bb")) == [a_log(a_view(), user="a+b")]


def test_a_query_may_come_as_bare_utf8(client, post):
    post([a_log(a_view(), user="é\U0001f600")])
    answer = client.generic("GET", "/logs/?userId=é\U0001f600")
    assert decoded(answer) == [a_log(a_view(), user="é\U0001f600")]


def test_every_bad_parameter_is_reported_in_the_order_given(client):
    assert_refused(
        client.get("/logs/?order=up&types=NO&userid=a&userId=%00&limit=0&from=no&cursor=x&to=no&format=x"),
        ("INVALID_PARAMETER", "order"),
        ("INVALID_ACTION_TYPE", "types"),
        ("UNKNOWN_PARAMETER", "userid"),
        ("INVALID_CHARACTER", "userId"),
        ("INVALID_PARAMETER", "limit"),
        ("INVALID_TIME_FORMAT", "from"),
        ("INVALID_CURSOR", "cursor"),
        ("INVALID_TIME_FORMAT", "to"),
        ("INVALID_PARAMETER", "format"),
    )


def test_the_first_100_bad_parameters_are_reported(client):
    answer = client.get("/logs/", {f"x{number}": "" for number in range(150)})
    assert len(places(answer)) == 100


def test_thousands_of_parameters_are_refused(client):
    assert client.get("/logs/", {f"x{number}": "" for number in range(2_000)}).status_code == 400

"""The serializers keep what DRF promises of every serializer: for one log and for many, in and out."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils.safestring import mark_safe
from rest_framework.exceptions import ErrorDetail, ValidationError

from logs.api.exceptions import answer_exception
from logs.api.serializers import ActionSerializer, LogSerializer
from logs.models import Action, ActionType, Log
from logs.store import writing
from tests.builders import a_click, a_log, a_navigation, a_view, some_logs, stored_actions, stored_logs

pytestmark = pytest.mark.django_db


def codes(errors: Any) -> Any:
    """Errors with each of their details as its code."""
    if isinstance(errors, ErrorDetail):
        return errors.code
    if isinstance(errors, dict):
        return {name: codes(inner) for name, inner in errors.items()}
    return [codes(inner) for inner in errors]


def refused(data: Any, **kwargs: Any) -> Any:
    """The codes of what is wrong with some data."""
    serializer = LogSerializer(data=data, **kwargs)
    assert serializer.is_valid() is False
    return codes(serializer.errors)


def whole(code: str) -> dict[str, list[str]]:
    return {"non_field_errors": [code]}


def in_actions(**errors: Any) -> dict[str, Any]:
    return {"actions": [errors]}


# --- is_valid() and errors -------------------------------------------------------------------------------------------


def test_a_valid_log_has_no_errors():
    serializer = LogSerializer(data=a_log())
    assert serializer.is_valid()
    assert serializer.errors == {}


def test_valid_logs_have_no_errors():
    serializer = LogSerializer(data=some_logs(2), many=True)
    assert serializer.is_valid()
    assert serializer.errors == []


WITHOUT_X = {**a_click(), "properties": {"locationY": 11}}
REFUSED_LOGS = {
    "user of another type": (a_log(user=7), {"userId": ["INVALID_USERID"]}),
    "no user": ({"sessionId": "s", "actions": [a_view()]}, {"userId": ["MISSING_USERID"]}),
    "nothing": ({}, {"userId": ["MISSING_USERID"], "sessionId": ["MISSING_SESSIONID"], "actions": ["MISSING_ACTIONS"]}),
    "no actions": ({**a_log(), "actions": []}, {"actions": ["MISSING_ACTIONS"]}),
    "actions of another type": ({**a_log(), "actions": {"a": 1}}, {"actions": ["INVALID_ACTIONS"]}),
    "click without locationX": (
        a_log(WITHOUT_X),
        in_actions(properties={"locationX": ["MISSING_LOCATION_X_VALUE"]}),
    ),
    "both of a pair": (
        a_log(a_click(x="1", y=None)),
        in_actions(properties={"locationX": ["INVALID_LOCATION_X_VALUE"], "locationY": ["MISSING_LOCATION_Y_VALUE"]}),
    ),
    "time yesterday": (a_log(a_view("yesterday")), in_actions(time=["INVALID_TIME_FORMAT"])),
    "type in small letters": (a_log({**a_view(), "type": "view"}), in_actions(type=["INVALID_ACTION_TYPE"])),
    "second action": (a_log(a_view(), {}), {"actions": [{}, whole("EMPTY_ACTION")]}),
    "action of another type": (a_log(a_view(), 0), {"actions": [{}, whole("INVALID_ACTION")]}),
    "forbidden character": (
        a_log(a_view(deep={"a": ["b", "\0"]})),
        in_actions(properties={"deep": {"a": {1: ["INVALID_CHARACTER"]}}}),
    ),
    "large properties": (a_log(a_view(other="x" * 40_000)), in_actions(properties=["INVALID_PROPERTIES"])),
    "None": (None, whole("INVALID_LOG")),
    "text": ("x", whole("INVALID_LOG")),
    "list": ([a_log()], whole("INVALID_LOG")),
    "number": (0, whole("INVALID_LOG")),
}


@pytest.mark.parametrize("data, errors", REFUSED_LOGS.values(), ids=REFUSED_LOGS)
def test_errors_are_nested_as_the_data_of_a_log_is(data, errors):
    assert refused(data) == errors


@pytest.mark.parametrize("data, errors", REFUSED_LOGS.values(), ids=REFUSED_LOGS)
def test_errors_of_many_logs_are_a_list_with_an_empty_dict_for_what_is_right(data, errors):
    assert refused([a_log(), data], many=True) == [{}, errors]


@pytest.mark.parametrize(
    "data, code",
    [
        (None, "NO_LOGS_PROVIDED"),
        ([], "NO_LOGS_PROVIDED"),
        (a_log(), "INVALID_BODY"),
        ("x", "INVALID_BODY"),
        ("", "INVALID_BODY"),
        ({}, "INVALID_BODY"),
        (0, "INVALID_BODY"),
        ("\0", "INVALID_CHARACTER"),
    ],
    ids=["None", "empty list", "log", "text", "empty text", "dict", "number", "nul"],
)
def test_what_is_no_list_of_logs_has_errors_of_the_whole(data, code):
    assert refused(data, many=True) == whole(code)


PYTHON_VALUES = {
    "set": {1},
    "nan": float("nan"),
    "infinity": float("inf"),
    "decimal nan": Decimal("NaN"),
    "decimal infinity": Decimal("-Infinity"),
    "bytes": b"x",
    "object": object(),
    "key of another type": {1: 2},
}


@pytest.mark.parametrize("value", PYTHON_VALUES.values(), ids=PYTHON_VALUES)
def test_a_value_that_json_has_no_text_for_is_an_error_not_an_exception(value):
    assert refused(a_log(a_view(other=value))) == in_actions(properties=["INVALID_PROPERTIES"])
    assert refused(a_log(a_click(x=value)))["actions"]
    assert "userId" in refused(a_log(user=value))
    assert refused({**a_log(), "actions": [value]})["actions"]


def test_texts_and_types_of_python_are_taken_as_the_texts_that_they_are():
    log = a_log({**a_view(), "type": ActionType.VIEW}, user=mark_safe("u"))
    serializer = LogSerializer(data=log)
    assert serializer.is_valid(), serializer.errors
    assert json.loads(json.dumps(serializer.data)) == a_log(a_view(), user="u")


def test_a_decimal_keeps_its_digits():
    serializer = LogSerializer(data=a_log(a_click(x=Decimal("1.10"))))
    assert serializer.is_valid()
    assert serializer.validated_data["actions"][0].properties == '{"locationX":1.10,"locationY":11}'


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("is_right", [False, True])
def test_the_data_that_came_in_are_not_changed(many, is_right):
    log = a_log(a_view(other={"deep": [1]}), a_click() if is_right else WITHOUT_X)
    data = [log, log] if many else log
    before = copy.deepcopy(data)
    serializer = LogSerializer(data=data, many=many)
    if serializer.is_valid():
        serializer.save()
    assert data == before


def test_an_error_says_what_is_wrong():
    serializer = LogSerializer(data=a_log(WITHOUT_X))
    serializer.is_valid()
    (error,) = serializer.errors["actions"][0]["properties"]["locationX"]
    assert error == ErrorDetail("locationX is required for a CLICK.", "MISSING_LOCATION_X_VALUE")


def test_nothing_is_saved_before_it_is_valid():
    serializer = LogSerializer(data=a_log())
    with pytest.raises(AssertionError, match="is_valid"):
        serializer.save()


# --- What the exception handler makes of them ------------------------------------------------------------------------


def answer_to(data: Any, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as raised:
        LogSerializer(data=data, **kwargs).is_valid(raise_exception=True)
    answer = answer_exception(raised.value)
    assert answer.status_code == 400
    return json.loads(answer.content)


def found(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error["code"], error["pointer"]) for error in body["errors"]]


def test_the_handler_lists_errors_by_pointer_in_document_order():
    batch = [
        a_log(WITHOUT_X, a_navigation(page_from="", page_to=7), user=""),
        None,
        a_log(a_view(**{"a/b~c": ["\0"]})),
        {**a_log(), "actions": "x"},
    ]
    body = answer_to(batch, many=True)
    assert (body["success"], body["code"], body["detail"]) == (False, "MISSING_USERID", "userId is required.")
    assert found(body) == [
        ("MISSING_USERID", "/0/userId"),
        ("MISSING_LOCATION_X_VALUE", "/0/actions/0/properties/locationX"),
        ("MISSING_PAGEFROM_VALUE", "/0/actions/1/properties/pageFrom"),
        ("INVALID_PAGETO_VALUE", "/0/actions/1/properties/pageTo"),
        ("INVALID_LOG", "/1"),
        ("INVALID_CHARACTER", "/2/actions/0/properties/a~1b~0c/0"),
        ("INVALID_ACTIONS", "/3/actions"),
    ]


def test_the_handler_points_into_one_log_too():
    assert found(answer_to(a_log(a_view("")))) == [("MISSING_TIME_VALUE", "/actions/0/time")]


def test_a_batch_without_logs_has_no_place_to_point_at():
    body = answer_to([], many=True)
    assert (body["code"], body["errors"]) == ("NO_LOGS_PROVIDED", [])


@pytest.mark.parametrize("many", [False, True], ids=["one log", "many logs"])
def test_a_member_of_properties_may_have_the_name_of_errors_of_the_whole(many):
    log = a_log(a_view(non_field_errors="\0"))
    place = "/actions/0/properties/non_field_errors"
    body = answer_to([log] if many else log, many=many)
    assert found(body) == [("INVALID_CHARACTER", f"/0{place}" if many else place)]


TOO_MANY = {
    "logs": [None] * 150,
    "actions of a log": [a_log(*[0] * 150)],
    "actions of logs": [a_log(*[0] * 7, user=str(user)) for user in range(30)],
}


@pytest.mark.parametrize("batch", TOO_MANY.values(), ids=TOO_MANY)
def test_the_first_hundred_errors_are_listed(batch):
    assert len(answer_to(batch, many=True)["errors"]) == 100


def test_a_hundredth_error_of_a_pair_goes_without_the_other():
    body = answer_to([*[None] * 99, a_log(a_click(x="", y=""))], many=True)
    assert len(body["errors"]) == 100
    assert found(body)[-1] == ("MISSING_LOCATION_X_VALUE", "/99/actions/0/properties/locationX")


def test_logs_behind_the_hundredth_error_are_not_looked_at():
    serializer = LogSerializer(data=[*[None] * 100, a_log(), None], many=True)
    serializer.is_valid()
    assert len(serializer.errors) == 100


# --- save() ----------------------------------------------------------------------------------------------------------


def saved(data: Any, **kwargs: Any) -> Any:
    serializer = LogSerializer(data=data, **kwargs)
    serializer.is_valid(raise_exception=True)
    return serializer.save()


def test_a_log_is_saved_and_returned():
    log = saved(a_log(user="u", session="s"))
    assert (type(log), log.user_id, log.session_id, log.action_count) == (Log, "u", "s", 3)
    assert Log.objects.get() == log


def test_a_log_that_is_there_is_returned_with_what_was_appended():
    first, second = saved(a_log()), saved(a_log(a_view()))
    assert second == first
    assert (second.action_count, second.version) == (4, 2)


def test_many_logs_are_saved_and_returned_once_each_in_their_order():
    batch = [a_log(a_view(), user=user) for user in ("b", "a", "b", "c")]
    logs = saved(batch, many=True)
    assert [(log.user_id, log.view_count) for log in logs] == [("b", 2), ("a", 1), ("c", 1)]


def test_logs_of_the_same_users_in_other_sessions_are_not_returned():
    saved([a_log(user="a", session="2"), a_log(user="b", session="1")], many=True)
    logs = saved([a_log(user="a", session="1"), a_log(user="b", session="2")], many=True)
    assert [(log.user_id, log.session_id) for log in logs] == [("a", "1"), ("b", "2")]


def test_saved_logs_are_read_only_when_somebody_looks(django_assert_num_queries, django_assert_max_num_queries):
    serializer = LogSerializer(data=some_logs(1_000), many=True)
    serializer.is_valid(raise_exception=True)
    with django_assert_max_num_queries(10) as seen:
        logs = serializer.save()
    assert not any(query["sql"].startswith("SELECT") and "logs_log" in query["sql"] for query in seen.captured_queries)
    with django_assert_num_queries(3):
        assert len(logs) == 1_000
    with django_assert_num_queries(0):
        assert [log.user_id for log in logs] == [str(number) for number in range(1_000)]


def test_a_batch_that_fails_in_its_middle_stores_nothing(monkeypatch):
    """The database refuses the last action of a batch that the serializer has passed."""
    serializer = LogSerializer(data=some_logs(3), many=True)
    serializer.is_valid(raise_exception=True)
    actions = serializer.validated_data[-1]["actions"]
    actions[0] = actions[0]._replace(properties='{"viewedId":7}')
    with pytest.raises(DatabaseError), transaction.atomic():
        serializer.save()
    assert (stored_logs(), stored_actions()) == (0, 0)


@pytest.mark.parametrize("count", [2, writing.MAX_ACTIONS_IN_STATEMENT + 1], ids=["one statement", "copied"])
@pytest.mark.django_db(transaction=True)
def test_a_save_belongs_to_the_transaction_of_the_caller(count):
    with transaction.atomic():
        saved([a_log(*[a_view()] * count)], many=True)
        assert stored_actions() == count
        transaction.set_rollback(True)
    assert (stored_logs(), stored_actions()) == (0, 0)


def test_a_receipt_says_what_was_stored():
    serializer = LogSerializer(data=[a_log(), a_log(a_view())], many=True)
    serializer.is_valid(raise_exception=True)
    serializer.save()
    assert (serializer.receipt.stored, serializer.receipt.duplicates) == (4, 0)


# --- data ------------------------------------------------------------------------------------------------------------

LATER_FIRST = [a_view("2018-10-18T21:37:30-06:00"), a_click("2018-10-18T21:37:28-06:00"), a_navigation()]
IN_ORDER = [LATER_FIRST[1], LATER_FIRST[2], LATER_FIRST[0]]


@pytest.mark.parametrize("is_saved", [False, True], ids=["valid", "saved"])
@pytest.mark.parametrize("many", [False, True], ids=["one log", "many logs"])
def test_data_are_the_logs_in_the_form_of_the_wire(many, is_saved):
    log = a_log(*LATER_FIRST)
    serializer = LogSerializer(data=[log] if many else log, many=many)
    serializer.is_valid(raise_exception=True)
    if is_saved:
        serializer.save()
    expected = a_log(*IN_ORDER)
    assert json.loads(json.dumps(serializer.data)) == ([expected] if many else expected)


def test_data_of_a_saved_log_are_all_of_its_actions():
    saved(a_log(a_click()))
    serializer = LogSerializer(data=a_log(a_view()))
    serializer.is_valid(raise_exception=True)
    serializer.save()
    assert serializer.data == a_log(a_click(), a_view())


def test_data_that_went_out_may_come_in():
    saved(a_log(*LATER_FIRST))
    serializer = LogSerializer(data=LogSerializer(Log.objects.get()).data)
    assert serializer.is_valid(), serializer.errors
    again = LogSerializer(data=LogSerializer(Log.objects.all(), many=True).data, many=True)
    assert again.is_valid(), again.errors


def test_a_stored_log_is_given_back(django_assert_num_queries):
    saved(a_log(*LATER_FIRST))
    log = Log.objects.get()
    with django_assert_num_queries(1):
        assert LogSerializer(log).data == a_log(*IN_ORDER)


@pytest.mark.parametrize("count", [1, 20])
def test_many_stored_logs_are_given_back_by_two_queries(django_assert_num_queries, count):
    saved(some_logs(count), many=True)
    with django_assert_num_queries(2):
        data = LogSerializer(Log.objects.order_by("id"), many=True).data
    assert data == some_logs(count)


# --- An action by itself ---------------------------------------------------------------------------------------------


def test_an_action_is_read_by_itself():
    serializer = ActionSerializer(data=a_click())
    assert serializer.is_valid()
    assert serializer.validated_data["type"] == "CLICK"
    assert serializer.validated_data["time"].isoformat() == "2018-10-19T03:37:28+00:00"
    assert serializer.data == a_click()


@pytest.mark.parametrize(
    "data, errors",
    [
        (None, whole("EMPTY_ACTION")),
        ({}, whole("EMPTY_ACTION")),
        ("x", whole("INVALID_ACTION")),
        ({**a_view(), "type": None}, {"type": ["MISSING_TYPE_VALUE"]}),
        ({**a_view(), "properties": []}, {"properties": ["INVALID_PROPERTIES"]}),
        (a_view(viewed_id=""), {"properties": {"viewedId": ["MISSING_VIEWEDID_VALUE"]}}),
    ],
    ids=["None", "empty", "text", "no type", "list", "no viewedId"],
)
def test_errors_of_an_action_are_nested_as_it_is(data, errors):
    serializer = ActionSerializer(data=data)
    assert not serializer.is_valid()
    assert codes(serializer.errors) == errors


def test_a_stored_action_is_given_back():
    saved(a_log(a_navigation()))
    assert ActionSerializer(Action.objects.get()).data == a_navigation()
    assert ActionSerializer(Action.objects.all(), many=True).data == [a_navigation()]


def test_many_actions_are_read_by_themselves():
    assert ActionSerializer(data=[a_view(), a_click()], many=True).is_valid()
    serializer = ActionSerializer(data=[a_view(), None], many=True)
    assert not serializer.is_valid()
    assert codes(serializer.errors) == [{}, whole("EMPTY_ACTION")]

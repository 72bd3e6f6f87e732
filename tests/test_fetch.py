"""A short answer by SQL that was compiled before is what the ORM answers, also where that SQL can't be used."""

from __future__ import annotations

import pytest
from django.db import connection

from logs.models import Action
from logs.store import read
from tests.builders import a_click, a_log, a_navigation, a_view, store_logs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch):
    monkeypatch.setattr(read, "_sql_by_shape", {})


@pytest.fixture
def actions():
    store_logs(a_log(a_click(), a_view(), a_navigation(), user="ann"), a_log(a_view(), user="bob"))
    return Action.objects.filter(type="VIEW", user_id="ann")


@pytest.mark.parametrize(
    "parameters", [["ann", "VIEW"], ["VIEW"], ["VIEW", "ann", "more"]], ids=["another order", "too few", "too many"]
)
def test_parameters_that_are_not_those_of_the_sql_leave_it_to_the_orm(actions, parameters):
    rows = actions.values_list("user_id", "type")
    for _ in range(2):
        assert read.fetch(lambda: rows.all(), "a shape", parameters) == [("ann", "VIEW")]
    assert read._sql_by_shape == {}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite the ORM is asked each time")
def test_the_sql_of_a_shape_is_compiled_once_and_takes_other_parameters(actions):
    rows = actions.values_list("user_id", "type")
    assert read.fetch(lambda: rows.all(), "a shape", ["VIEW", "ann"]) == [("ann", "VIEW")]

    def compile_again():
        raise AssertionError("the SQL was known")

    assert read.fetch(compile_again, "a shape", ["VIEW", "bob"]) == [("bob", "VIEW")]

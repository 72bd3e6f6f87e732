"""verifylogs: every kind of damage is found with its place, and what has one right answer is repaired."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, NotSupportedError, connection, transaction
from django.test.utils import CaptureQueriesContext

from logs.models import Action, Log
from tests.builders import a_click, a_log, a_navigation, a_view, stored_actions
from tests.commandline import findings

pytestmark = pytest.mark.django_db


@pytest.fixture
def log(post):
    post([a_log(user="other"), a_log(a_click(), a_view("2018-10-20T08:00:00-06:00"), a_navigation())])
    return Log.objects.get(user_id="ABC123XYZ")


@pytest.fixture
def damage():
    """Run a statement that the application never would; constraints that forbid it are taken away first."""

    def run(sql, *parameters, without=()):
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA ignore_check_constraints = ON")
            else:
                for table, name in without:
                    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            cursor.execute(sql, parameters)
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA ignore_check_constraints = OFF")

    return run


def test_a_good_store_has_no_findings(log, command):
    assert command("verifylogs") == "Checked: 2 logs. Findings: 0, repaired: 0.\n"


@pytest.mark.parametrize(
    "change, found",
    [
        ("click_count = 7", "click_count: it is 7, but its actions say 1"),
        ("view_count = 0", "view_count: it is 0, but its actions say 1"),
        ("navigate_count = 2", "navigate_count: it is 2, but its actions say 1"),
        ("version = 0", "version: it is 0, but must be 1 or more"),
        ("first_time = '2018-10-01 00:00:00'", "first_time: it is 2018-10-01 00:00:00+00:00"),
        ("last_time = '2018-12-01 00:00:00'", "last_time: it is 2018-12-01 00:00:00+00:00"),
    ],
)
def test_wrong_counts_are_found_and_recounted(log, damage, change, found):
    damage(f"UPDATE logs_log SET {change} WHERE id = %s", log.id)
    [line], failed = findings()
    assert line.startswith(f"log {log.id}, {found}")
    assert failed
    [line], failed = findings("--fix")
    assert line.endswith("(repaired)")
    assert not failed
    assert findings() == ([], False)
    repaired = Log.objects.get(id=log.id)
    assert (repaired.click_count, repaired.first_time, repaired.last_time) == (1, log.first_time, log.last_time)


def test_a_log_is_looked_up_by_its_user_too_as_a_store_that_is_spread_by_user_needs(log, damage):
    damage("UPDATE logs_log SET click_count = 7 WHERE id = %s", log.id)
    with CaptureQueriesContext(connection) as queries:
        findings("--fix")
    by_id = [query["sql"] for query in queries if re.search(r'"logs_log"\."id" = |log_id" = ', query["sql"])]
    assert len(by_id) > 5
    assert [sql for sql in by_id if not re.search(r'user_id" = ', sql)] == []
    assert [part for sql in by_id for part in sql.split("EXISTS")[1:] if 'user_id" = ' not in part] == []


def test_one_finding_is_not_said_in_the_plural(log, damage):
    damage("UPDATE logs_log SET click_count = 7 WHERE id = %s", log.id)
    with pytest.raises(CommandError, match=r"^1 finding is not repaired\."):
        call_command("verifylogs", stdout=io.StringIO(), stderr=io.StringIO())


def test_a_repair_changes_the_version(log, damage):
    damage("UPDATE logs_log SET click_count = 7 WHERE id = %s", log.id)
    findings("--fix")
    assert Log.objects.get(id=log.id).version == log.version + 1


def test_a_log_without_actions_is_found_and_deleted(log, damage):
    damage("DELETE FROM logs_action WHERE log_id = %s", log.id)
    assert findings() == ([f"log {log.id}: it has no actions"], True)
    assert findings("--fix") == ([f"log {log.id}: it has no actions (repaired)"], False)
    assert not Log.objects.filter(id=log.id).exists()


@pytest.mark.parametrize(
    "properties, found",
    [
        ({"locationX": 1}, "/properties/locationY: MISSING_LOCATION_Y_VALUE"),
        ({"locationX": 1, "locationY": 1e300}, "/properties/locationY: INVALID_LOCATION_Y_VALUE"),
        ({"locationX": 1, "locationY": 2, "more": "\0"}, "/properties/more: INVALID_CHARACTER"),
    ],
    ids=["missing", "out-of-range", "character"],
)
def test_properties_that_break_the_rules_are_found_and_left(log, damage, properties, found):
    action = Action.objects.get(user_id=log.user_id, type="CLICK")
    damage(
        "UPDATE logs_action SET properties = %s WHERE id = %s",
        json.dumps(properties),
        action.id,
        without=[("logs_action", "action_click_has_its_properties")],
    )
    for options in ([], ["--fix"]):
        [line], failed = findings(*options)
        assert line.startswith(f"log {log.id}, action {action.id}, {found}")
        assert failed
    assert stored_actions() == 6


def test_properties_of_another_type_are_found(log, damage):
    damage(
        "UPDATE logs_action SET type = 'VIEW' WHERE user_id = %s AND type = 'CLICK'",
        log.user_id,
        without=[("logs_action", "action_view_has_its_properties")],
    )
    lines, failed = findings("--fix")
    assert any("MISSING_VIEWEDID_VALUE" in line for line in lines)
    assert failed


def test_actions_of_no_log_or_another_users_are_found_on_sqlite_and_refused_on_postgresql(log, damage):
    first, second = Action.objects.filter(user_id=log.user_id).order_by("id").values_list("id", flat=True)[:2]
    statements = [
        f"UPDATE logs_action SET user_id = 'other' WHERE id = {first}",
        f"UPDATE logs_action SET log_id = 999999 WHERE id = {second}",
    ]
    if connection.vendor == "postgresql":
        for statement in statements:
            with pytest.raises((IntegrityError, NotSupportedError)), transaction.atomic():
                damage(statement)
        return
    for statement in statements:
        damage(statement)
    findings("--fix")
    assert findings() == (
        [
            f"action {first}, log {log.id}: its user has no such log",
            f"action {second}, log 999999: its user has no such log",
        ],
        True,
    )


def test_a_time_that_cannot_be_read_is_found(log, damage):
    action = Action.objects.filter(user_id=log.user_id).first()
    unreadable = "infinity" if connection.vendor == "postgresql" else "some day"
    damage("UPDATE logs_action SET time = %s WHERE id = %s", unreadable, action.id)
    for options in ([], ["--fix"]):
        lines, failed = findings(*options)
        assert f"log {log.id}, action {action.id}, time: it is not a time that the store can hold" in lines
        assert failed


def test_times_of_another_setting_are_no_findings(log, damage, command):
    damage("UPDATE logs_action SET time = '2018-10-19 03:37:28.5' WHERE user_id = %s", log.user_id)
    half = "'2018-10-19 03:37:28.5'"
    damage(f"UPDATE logs_log SET first_time = {half}, last_time = {half} WHERE id = %s", log.id)
    assert "Findings: 0" in command("verifylogs")


@pytest.mark.django_db(transaction=False)
def test_a_process_exits_with_1_until_all_is_repaired(manage):
    manage.succeed("demodata", "--actions", 200, "--end", "2018-10-18")
    manage.query("UPDATE logs_log SET view_count = view_count + 1")
    logs = manage.query("SELECT count(*) FROM logs_log")[0][0]
    done = manage.run("verifylogs")
    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[-1] == f"Checked: {logs} logs. Findings: {logs}, repaired: 0."
    assert b"verifylogs: " in done.stderr
    assert b"findings are not repaired" in done.stderr
    assert f"Findings: {logs}, repaired: {logs}." in manage.succeed("verifylogs", "--fix")
    assert "Findings: 0" in manage.succeed("verifylogs")

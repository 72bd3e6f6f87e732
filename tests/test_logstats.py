"""logstats: true counts, and estimates that say that they are."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from logs.store import statistics
from tests.builders import a_click, a_log, a_navigation, a_view, as_lines, many_logs


@pytest.fixture
def stored(db, post):
    post(
        [
            a_log(a_click("2018-10-18T10:00:00-06:00"), a_view("2018-10-18T10:00:00-06:00"), user="busy"),
            a_log(
                a_click("2018-10-18T17:59:59-06:00"),
                a_click("2018-10-18T18:00:00-06:00"),
                a_navigation("2018-10-19T18:00:00-06:00"),
                user="busy",
                session="over midnight",
            ),
            a_log(a_view("2018-10-01T10:00:00-06:00"), user="idle"),
        ]
    )


def counts(metrics):
    return {name: metric["count"] for name, metric in metrics.items()}


def test_the_counts_are_exact_where_that_is_cheap(stored, command):
    said = json.loads(command("logstats", "--json"))
    assert said["logs"] == {"count": 3, "estimated": False}
    assert said["users"] == {"count": 2, "estimated": False}
    assert said["actions"] == {"count": 6, "estimated": False}
    assert counts(said["byType"]) == {"CLICK": 3, "VIEW": 2, "NAVIGATE": 1}
    assert [(user["userId"], user["count"]) for user in said["busiestUsers"]] == [("busy", 5), ("idle", 1)]
    assert (said["firstTime"], said["lastTime"]) == ("2018-10-01T10:00:00-06:00", "2018-10-19T18:00:00-06:00")
    assert said["bytesOnDisk"] > 10_000


def test_days_are_the_last_ones_of_utc_that_have_actions(stored, command):
    # 18:00 at -06:00 is midnight.
    every = [("2018-10-20", 1), ("2018-10-19", 1), ("2018-10-18", 3), ("2018-10-01", 1)]
    assert list(counts(json.loads(command("logstats", "--json"))["byDay"]).items()) == every
    assert list(counts(json.loads(command("logstats", "--json", "--days", 2))["byDay"]).items()) == every[:2]


def test_an_empty_store_has_counts_too(db, command):
    said = json.loads(command("logstats", "--json"))
    assert (said["actions"]["count"], said["firstTime"], said["byDay"], said["busiestUsers"]) == (0, None, {}, [])
    assert ["Actions", "0"] in [line.split() for line in command("logstats").splitlines()]


def test_an_action_of_the_far_future_hides_no_other_day(stored, command, post):
    post([a_log(a_click("9999-12-31T17:59:59-06:00"), user="future")])
    said = counts(json.loads(command("logstats", "--json", "--days", 3))["byDay"])
    assert list(said.items()) == [("9999-12-31", 1), ("2018-10-20", 1), ("2018-10-19", 1)]


def test_the_last_instant_of_a_day_is_of_that_day(stored, command, post, settings):
    settings.LOGSTORE_ANY_OFFSET = True
    post([a_log(a_click("2018-10-19T23:59:59.999999Z"), user="late")])
    assert counts(json.loads(command("logstats", "--json"))["byDay"])["2018-10-19"] == 2


@pytest.fixture
def analyzed(db, post):
    """400 logs of 20 actions, on 28 days, that PostgreSQL's planner knows about."""
    for start in range(0, 400, 100):
        post(many_logs(400)[start : start + 100])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE logs_log, logs_action")


def test_past_a_number_of_actions_postgresql_estimates_older_days(analyzed, command, monkeypatch):
    monkeypatch.setattr(statistics, "MAX_COUNTED_ACTIONS", 1000)
    by_day = json.loads(command("logstats", "--json", "--days", 30))["byDay"]
    newest, *_, oldest = by_day.values()
    assert (newest["estimated"], oldest["estimated"]) == (False, connection.vendor == "postgresql")
    assert sum(counts(by_day).values()) == pytest.approx(8000, rel=0.1)


@pytest.mark.parametrize("sampled", [10_000, 100])
def test_past_a_number_of_logs_a_sample_stands_for_all_on_postgresql(analyzed, command, monkeypatch, sampled):
    monkeypatch.setattr(statistics, "MAX_EXACT_LOGS", 300)
    monkeypatch.setattr(statistics, "_SAMPLED_IDS", sampled)
    is_estimate = connection.vendor == "postgresql"
    said = json.loads(command("logstats", "--json"))
    assert said["logs"] == {"count": 400, "estimated": is_estimate}
    assert said["actions"] == {"count": 8000, "estimated": is_estimate}
    assert said["byType"]["VIEW"]["estimated"] is is_estimate
    assert said["users"]["count"] == 97
    assert ("about 8,000" in command("logstats")) is is_estimate


def test_a_process_prints_a_table_for_people(manage, tmp_path):
    (tmp_path / "logs").write_bytes(as_lines(*many_logs(10)))
    manage.succeed("importlogs", tmp_path / "logs")
    lines = manage.succeed("logstats", "--top", 2).splitlines()
    assert lines[2].split() == ["Actions", "200"]
    assert [line.split() for line in lines[-3:]] == [
        ["Busiest", "users", "Actions"],
        ["user-0", "20"],
        ["user-1", "20"],
    ]


def test_a_process_refuses_a_number_that_is_none(manage):
    done = manage.run("logstats", "--top", "0")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--top: '0' is not a whole number of 1 or more" in done.stderr

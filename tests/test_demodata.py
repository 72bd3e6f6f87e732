"""demodata: the same options, the same data, and data that looks like use."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from django.core.management import CommandError

from logs.lib import times
from logs.management.demo import demo_logs
from tests.builders import stored_actions

OPTIONS = ["--users", 20, "--actions", 2000, "--days", 7, "--seed", 3, "--end", "2018-10-18"]


@pytest.fixture(scope="module")
def logs():
    return list(demo_logs(users=50, actions=20_000, days=28, seed=1, end=date(2018, 10, 18)))


def test_the_same_options_give_the_same_data(manage):
    manage.succeed("demodata", *OPTIONS)
    first = manage.export()
    manage.query("DELETE FROM logs_action")
    manage.query("DELETE FROM logs_log")
    manage.succeed("demodata", *OPTIONS)
    assert manage.export() == first
    assert sum(len(json.loads(line)["actions"]) for line in first.splitlines()) == 2000


@pytest.mark.django_db
def test_running_again_adds_nothing_and_another_seed_does(command):
    command("demodata", *OPTIONS)
    assert command("demodata", *OPTIONS) == "Stored: 0 actions in 0 logs. There already: 2,000 actions.\n"
    command("demodata", *OPTIONS, "--seed", 4)
    assert stored_actions() == 4000
    assert "Findings: 0" in command("verifylogs")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_demo_data_stopped_at_random_moments_is_completed(manage, signal_number):
    options = ["demodata", "--actions", 8000, "--end", "2018-10-18"]
    for _ in range(2):
        manage.interrupt_at_random(signal_number, *options)
    manage.finish_in_small_steps(*options)
    assert manage.query("SELECT count(*) FROM logs_action") == [(8000,)]


def test_without_an_end_the_data_end_yesterday(manage):
    before = datetime.now(times.WIRE_ZONE)
    manage.succeed("demodata", "--actions", 300, "--days", 1)
    days = {action["time"][:10] for line in manage.export().splitlines() for action in json.loads(line)["actions"]}
    assert days <= {str(day.date() - timedelta(days=1)) for day in (before, datetime.now(times.WIRE_ZONE))}
    assert len(days) == 1


def test_nothing_goes_on_after_the_last_day():
    ends = [
        log["actions"][-1]["time"]
        for seed in range(20)
        for log in demo_logs(users=5, actions=2000, days=1, seed=seed, end=date(2018, 10, 18))
    ]
    assert max(ends) == "2018-10-18T23:59:59-06:00"


@pytest.mark.django_db
@pytest.mark.parametrize("ahead", [0, 1, 400])
def test_a_day_that_is_not_over_is_refused(command, ahead):
    day = datetime.now(times.WIRE_ZONE).date() + timedelta(days=ahead)
    with pytest.raises(CommandError, match=f"{day} is not over yet"):
        command("demodata", "--actions", 10, "--end", day)
    assert stored_actions() == 0


def test_there_are_exactly_as_many_actions_within_the_days_and_users(logs):
    assert sum(len(log["actions"]) for log in logs) == 20_000
    starts = [log["actions"][0]["time"][:10] for log in logs]
    assert (min(starts), max(starts)) == ("2018-09-21", "2018-10-18")
    assert len({log["userId"] for log in logs}) <= 50


def test_days_are_busier_than_nights(logs):
    hours = Counter(int(log["actions"][0]["time"][11:13]) for log in logs)
    assert hours[10] > 5 * hours[3]


def test_some_users_are_far_busier_than_others(logs):
    busiest = Counter(log["userId"] for log in logs).most_common()
    assert busiest[0][1] > 4 * busiest[-1][1]


def test_clicks_cluster(logs):
    clicks = Counter(
        (action["properties"]["locationX"] // 64, action["properties"]["locationY"] // 64)
        for log in logs
        for action in log["actions"]
        if action["type"] == "CLICK"
    )
    top = sum(count for _, count in clicks.most_common(30))
    assert top > 0.6 * clicks.total()


def test_a_page_flow_goes_on_where_it_came_to(logs):
    for log in logs:
        steps = [action["properties"] for action in log["actions"] if action["type"] == "NAVIGATE"]
        assert all(step["pageFrom"] == before["pageTo"] for before, step in pairwise(steps))


@pytest.mark.parametrize(
    "options, message",
    [
        (["--users", "0"], b"--users"),
        (["--end", "today"], b"is not a day"),
        (["--days", "9999"], b"--days must be 3,650 or less"),
    ],
)
def test_options_that_make_no_sense_are_refused(manage, options, message):
    done = manage.run("demodata", *options)
    assert done.returncode != 0
    assert message in done.stderr

"""The files of examples/, run as their readers run them, beside a server that asks for a key."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from tests.builders import a_click, a_key, a_log, a_navigation, a_view, store_logs
from tests.cluster import skip_or_fail
from tests.server import PROJECT, Server

EXAMPLES = PROJECT / "examples"
# A minute is long enough for the slowest machine that a test runs on.
JUST_NOW = timedelta(minutes=1)


@pytest.fixture(scope="module")
def running(tmp_path_factory, django_db_setup, django_db_blocker):
    log = tmp_path_factory.mktemp("examples") / "log"
    with django_db_blocker.unblock(), Server(log, LOGSTORE_AUTH="keys") as server:
        yield server


@pytest.fixture
def run(running, transactional_db):
    _, key = a_key()

    def run_example(program: str, name: str, *arguments: str) -> str:
        found = shutil.which(program)
        if found is None:
            skip_or_fail(f"{program} is not installed")
        done = subprocess.run(
            [found, EXAMPLES / name, *arguments],
            env=os.environ | {"LOGSTORE_URL": f"http://127.0.0.1:{running.port}", "LOGSTORE_KEY": key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_example


def assert_is_just_now(log):
    for action in log["actions"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-06:00", action["time"])
        moment = datetime.fromisoformat(action["time"])
        assert abs(datetime.now(moment.tzinfo) - moment) < JUST_NOW


def test_the_shell_stores_and_reads(run):
    stored, read = map(json.loads, run("sh", "curl.sh").splitlines())
    assert stored == {"success": True, "stored": 2, "duplicates": 0}
    (log,) = read
    assert [action["type"] for action in log["actions"]] == ["CLICK", "VIEW"]
    assert_is_just_now(log)


@pytest.mark.parametrize(
    "program, name, types",
    [(sys.executable, "with_requests.py", ["NAVIGATE"]), ("node", "with_fetch.mjs", ["VIEW"])],
    ids=["python", "javascript"],
)
def test_a_program_stores_and_reads_page_by_page(run, program, name, types):
    stored, *logs = map(json.loads, run(program, name).splitlines())
    assert stored == {"success": True, "stored": 6, "duplicates": 0}
    assert [log["sessionId"] for log in logs] == ["1", "2", "3"]
    for log in logs:
        assert [action["type"] for action in log["actions"]] == types
        assert_is_just_now(log)


def test_pandas_counts_the_actions_of_some_days(run):
    if importlib.util.find_spec("pandas") is None:
        skip_or_fail("pandas is not installed")
    store_logs(a_log(a_click(), a_click(x=0.5), a_view("2018-10-19T08:00:00-06:00")), a_log(a_navigation(), user="u"))
    lines = run(sys.executable, "with_pandas.py", "2018-10-18", "2018-10-19").splitlines()
    assert [line.split() for line in lines] == [
        ["type", "CLICK", "NAVIGATE", "VIEW"],
        ["time"],
        ["2018-10-18", "2", "1", "0"],
        ["2018-10-19", "0", "0", "1"],
    ]

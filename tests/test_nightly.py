"""deploy/nightly, as a timer starts it: a backup, the retention, the days of Insights."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Timer

import pytest

from tests.builders import a_log

PROJECT = Path(__file__).resolve().parent.parent
BINARIES = Path(sys.executable).parent


@pytest.fixture
def nightly(manage, tmp_path):
    """Start deploy/nightly beside a database of its own, with a folder for backups."""
    backups = tmp_path / "backups"
    backups.mkdir()

    def start(*arguments, **settings):
        path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            [PROJECT / "deploy/nightly", *arguments],
            env={**manage.environment, "PATH": path, "LOGSTORE_BACKUP_DIR": str(backups), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    start.backups = backups
    return start


def users(export):
    return [json.loads(line)["userId"] for line in export.splitlines()]


def store(manage, *logs):
    manage.succeed("importlogs", "-", stdin=json.dumps(logs).encode())


def a_recent_log():
    now = datetime.now(timezone(timedelta(hours=-6))).isoformat(timespec="seconds")
    return a_log({"time": now, "type": "VIEW", "properties": {"viewedId": "x"}}, user="recent")


def aged(file, days):
    file.touch()
    os.utime(file, (time.time() - days * 86_400,) * 2)
    return file


def test_a_night_backs_up_deletes_what_is_too_old_and_rolls_days_up(nightly, manage):
    store(manage, a_log(user="old"), a_recent_log())
    with nightly(LOGSTORE_RETENTION="90d") as night:
        stdout, stderr = night.communicate(timeout=60)
    assert night.returncode == 0, stderr
    assert "Rolled up" in stdout
    assert users(manage.export()) == ["recent"]
    backup, manifest = sorted(nightly.backups.iterdir())
    assert manifest.name == f"{backup.name}.manifest.json"
    assert f"{backup}: good: " in stdout
    assert users(gzip.decompress(backup.read_bytes())) == ["old", "recent"]


def test_a_night_without_a_retention_deletes_nothing(nightly, manage):
    store(manage, a_log(user="old"))
    with nightly() as night:
        night.communicate(timeout=60)
    assert night.returncode == 0
    assert users(manage.export()) == ["old"]


def test_a_night_whose_backup_fails_says_so_keeps_the_older_backups_and_does_the_rest(nightly, manage):
    store(manage, a_log(user="old"))
    older = aged(nightly.backups / "logs-a.ndjson.gz", days=16)
    in_the_way = nightly.backups / f"logs-{datetime.now():%Y-%m-%d}.ndjson.gz"
    in_the_way.mkdir()
    with nightly(LOGSTORE_BACKUP_DAYS="14", LOGSTORE_RETENTION="90d") as night:
        stdout, stderr = night.communicate(timeout=60)
    assert night.returncode == 1
    assert in_the_way.name in stderr
    assert older.exists()
    assert "Rolled up" in stdout
    assert users(manage.export()) == []


def test_a_night_whose_backup_is_not_good_keeps_the_older_ones(nightly, manage):
    older = aged(nightly.backups / "logs-a.ndjson.gz", days=16)
    # What is stored breaks a rule of the imports under another setting.
    manage.environment["LOGSTORE_ANY_OFFSET"] = "true"
    store(manage, a_log({**a_log()["actions"][1], "time": "2018-10-18T21:37:28.5-06:00"}))
    with nightly(LOGSTORE_BACKUP_DAYS="14", LOGSTORE_ANY_OFFSET="false") as night:
        stdout, _ = night.communicate(timeout=60)
    assert night.returncode == 1
    assert "can't be restored" in stdout
    assert older.exists()


@pytest.mark.parametrize("days, kept", [("14", {"logs-a.ndjson.gz"}), ("", {"logs-a.ndjson.gz", "logs-b.ndjson.gz"})])
def test_backups_are_kept_for_as_long_as_is_said(nightly, days, kept):
    for name, age in {"logs-a.ndjson.gz": 13, "logs-b.ndjson.gz": 16, "others.txt": 16}.items():
        aged(nightly.backups / name, days=age)
    aged(nightly.backups / "logs-b.ndjson.gz.manifest.json", days=16)
    with nightly(LOGSTORE_BACKUP_DAYS=days) as night:
        night.communicate(timeout=60)
    today = f"logs-{datetime.now():%Y-%m-%d}.ndjson.gz"
    others = {today, f"{today}.manifest.json", "others.txt"}
    if not days:
        others.add("logs-b.ndjson.gz.manifest.json")
    assert {file.name for file in nightly.backups.iterdir()} == kept | others


def test_the_night_comes_at_the_time_that_is_said(nightly):
    at = datetime.now() + timedelta(seconds=2)
    with nightly("--at", f"{at:%H:%M:%S}") as night:
        watchdog = Timer(60, night.kill)
        watchdog.start()
        done = next((line for line in night.stdout if line.startswith("Rolled up")), None)
        watchdog.cancel()
        assert datetime.now() >= at.replace(microsecond=0)
        assert night.poll() is None
        night.terminate()
    assert done is not None
    assert len(list(nightly.backups.glob("*.gz"))) == 1


def test_a_time_that_is_none_is_refused(nightly):
    with nightly("--at", "25:61") as night:
        stderr = night.communicate(timeout=10)[1]
    assert night.returncode == 2
    assert "25:61" in stderr

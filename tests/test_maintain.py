"""maintain: a backup, the retention, old keys, the days of Insights, free room; each whatever becomes of the others."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone as django_timezone

from logs.lib.locks import only_one
from logs.models import Action, IdempotencyKey, Maintenance, RolledUpDay
from logs.store import maintenance
from logs.store.checks import check_maintenance
from tests.builders import a_click, a_log, a_staff_user, stored_actions
from tests.test_metrics import samples

NOW = "%Y-%m-%dT%H:%M:%S-06:00"


@pytest.fixture
def backups(settings, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    settings.LOGSTORE_BACKUP_DIR = str(folder)
    return folder


def a_recent_log():
    return a_log(a_click(datetime.now(timezone(timedelta(hours=-6))).strftime(NOW)), user="recent")


def today():
    return f"logs-{datetime.now(UTC):%Y-%m-%d}.ndjson.gz"


def users(file):
    return [json.loads(line)["userId"] for line in gzip.decompress(file.read_bytes()).splitlines()]


def aged(file, days):
    file.touch()
    os.utime(file, (time.time() - days * 86_400,) * 2)
    return file


def last_done(ago):
    Maintenance.objects.update_or_create(pk=1, defaults={"succeeded": django_timezone.now() - ago})


def installed(ago):
    migrations = MigrationRecorder.Migration.objects.filter(app="logs")
    migrations.update(applied=django_timezone.now() - ago)


# --- What it does ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_night(settings, post, command, backups):
    settings.LOGSTORE_RETENTION = timedelta(days=90)
    settings.LOGSTORE_BACKUP_DAYS = 14
    for name, days in {"logs-a.ndjson.gz": 13, "logs-b.ndjson.gz": 16, "others.txt": 16}.items():
        aged(backups / name, days)
    aged(backups / "logs-b.ndjson.gz.manifest.json", days=16)
    post([a_log(user="old"), a_recent_log()], headers={"Idempotency-Key": "old"})
    IdempotencyKey.objects.update(created=django_timezone.now() - timedelta(hours=25))
    post([], headers={"Idempotency-Key": "refused"})
    Session.objects.create(session_key="expired", expire_date=django_timezone.now() - timedelta(days=1))
    Session.objects.create(session_key="valid", expire_date=django_timezone.now() + timedelta(days=1))

    said = command("maintain")

    assert users(backups / today()) == ["old", "recent"]
    assert f"{backups / today()}: good: " in said
    kept = {today(), f"{today()}.manifest.json", "logs-a.ndjson.gz", "others.txt"}
    assert {file.name for file in backups.iterdir()} == kept
    assert list(Action.objects.values_list("user_id", flat=True)) == ["recent"]
    assert not IdempotencyKey.objects.exists()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["valid"]
    assert RolledUpDay.objects.exists()
    assert "Findings: 0" in command("verifylogs")
    assert maintenance.status().succeeded


@pytest.mark.django_db(transaction=True)
def test_without_a_setting_nothing_is_deleted_and_no_backup_made(post, command, tmp_path):
    post([a_log(user="old")], headers={"Idempotency-Key": "recent"})
    said = command("maintain")
    assert re.fullmatch(r"Forgotten: 0 idempotency keys\.\nRolled up: 9\d days\.\n", said)
    assert (stored_actions(), IdempotencyKey.objects.count()) == (3, 1)


@pytest.mark.django_db(transaction=True)
def test_it_is_done_again_without_harm_and_keeps_every_backup_unless_it_is_told(settings, post, command, backups):
    settings.LOGSTORE_RETENTION = timedelta(days=90)
    old = aged(backups / "logs-b.ndjson.gz", days=1000)
    post([a_log(user="old"), a_recent_log()])
    settings.LOGSTORE_BACKUP_DIR = ""
    command("maintain")
    settings.LOGSTORE_BACKUP_DIR = str(backups)
    said = command("maintain")
    assert "Deleted: 0 actions." in said
    assert "Rolled up: 0 days." in said
    assert users(backups / today()) == ["recent"]
    assert old.exists()


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_changes_nothing(settings, post, command, backups):
    settings.LOGSTORE_RETENTION = timedelta(days=90)
    settings.LOGSTORE_BACKUP_DAYS = 14
    older = aged(backups / "logs-a.ndjson.gz", days=16)
    post([a_log(user="old"), a_recent_log()], headers={"Idempotency-Key": "old"})
    IdempotencyKey.objects.update(created=django_timezone.now() - timedelta(hours=25))
    assert re.sub(r"9\d days", "N days", command("maintain", "--dry-run")) == (
        f"Would export to {backups / today()}, and delete 1 older export.\n"
        "Would delete: 3 actions from 1 log and 1 log left empty.\n"
        "Would forget: 1 idempotency key.\n"
        "Would roll up: N days.\n"
    )
    assert list(backups.iterdir()) == [older]
    assert (stored_actions(), IdempotencyKey.objects.count()) == (4, 1)
    assert not RolledUpDay.objects.exists()
    assert maintenance.status().succeeded is None


# --- What fails ------------------------------------------------------------------------------------------------------


def test_a_night_whose_backup_fails_says_so_keeps_the_older_ones_and_does_the_rest(manage, tmp_path):
    manage.succeed("importlogs", "-", stdin=json.dumps([a_log(user="old")]).encode())
    older = aged(tmp_path / "logs-a.ndjson.gz", days=16)
    (tmp_path / today()).mkdir()
    manage.environment |= {
        "LOGSTORE_BACKUP_DIR": str(tmp_path),
        "LOGSTORE_BACKUP_DAYS": "14",
        "LOGSTORE_RETENTION": "90d",
    }
    done = manage.run("maintain")
    assert done.returncode == 1
    stderr = done.stderr.decode()
    assert f"backup: {tmp_path / today()}: Is a directory" in stderr
    assert stderr.endswith("CommandError: Not all was done: see above for backup.\n")
    assert older.exists()
    assert b"Rolled up" in done.stdout
    assert manage.export() == b""


def test_a_night_whose_backup_is_not_good_keeps_the_older_ones(manage, tmp_path):
    older = aged(tmp_path / "logs-a.ndjson.gz", days=16)
    # What is stored breaks a rule of the imports under another setting.
    manage.environment["LOGSTORE_ANY_OFFSET"] = "true"
    log = a_log({**a_log()["actions"][1], "time": "2018-10-18T21:37:28.5-06:00"})
    manage.succeed("importlogs", "-", stdin=json.dumps([log]).encode())
    manage.environment |= {
        "LOGSTORE_ANY_OFFSET": "false",
        "LOGSTORE_BACKUP_DIR": str(tmp_path),
        "LOGSTORE_BACKUP_DAYS": "14",
    }
    done = manage.run("maintain")
    assert done.returncode == 1
    assert b"can't be restored" in done.stdout
    assert older.exists()


@pytest.mark.django_db(transaction=True)
def test_what_failed_is_not_noted_as_done(settings, command, tmp_path):
    settings.LOGSTORE_BACKUP_DIR = str(tmp_path / "missing")
    with pytest.raises(CommandError, match=r"Not all was done: see above for backup\."):
        command("maintain")
    assert maintenance.status().succeeded is None


@pytest.mark.django_db(transaction=True)
def test_one_runs_at_a_time(post, settings, command):
    settings.LOGSTORE_RETENTION = timedelta(days=90)
    post([a_log()])
    with only_one("maintain"), pytest.raises(CommandError, match="Another maintain is at work"):
        command("maintain")
    assert stored_actions() == 3
    command("maintain")
    assert stored_actions() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_in_a_command_within_it_stops(manage, number):
    logs = [a_log(*[a_click()] * 100, session=str(session)) for session in range(100)]
    manage.succeed("importlogs", "-", stdin=json.dumps(logs).encode())
    manage.environment["LOGSTORE_RETENTION"] = "90d"
    process = manage.start_in_small_steps("maintain")
    for line in process.stdout:
        if line.startswith(b"To delete"):
            process.send_signal(number)
            break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert b"Interrupted." in stderr
    assert b"prepareinsights" not in stderr
    manage.succeed("maintain")
    assert manage.export() == b""


# --- By itself, each day ---------------------------------------------------------------------------------------------


def test_it_comes_each_day_at_the_time_that_is_said_and_can_be_stopped(manage):
    at = datetime.now(UTC) + timedelta(seconds=4)
    process = manage.start_in_small_steps("maintain", "--at", f"{at:%H:%M:%S}")
    done = next(line for line in process.stdout if line.startswith(b"Rolled up"))
    assert done
    assert datetime.now(UTC) >= at.replace(microsecond=0)
    assert process.poll() is None
    process.terminate()
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.endswith(b"CommandError: Interrupted. Run the same command again to go on.\n")


def test_a_time_that_is_none_is_refused(manage):
    assert "'25:61' is no time of the day such as 02:30" in manage.run("maintain", "--at", "25:61").stderr.decode()


# --- Whether it was done ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "age, last, is_overdue",
    [(35, None, False), (37, None, True), (1000, 35, False), (1000, 37, True)],
    ids=["new", "never", "done", "not done since"],
)
def test_check_metrics_and_the_admin_say_when_it_is_overdue(client, age, last, is_overdue):
    installed(timedelta(hours=age))
    if last:
        last_done(timedelta(hours=last))
    warnings = check_maintenance()
    metrics = samples(client.get("/metrics").content.decode())
    client.force_login(a_staff_user())
    page = client.get("/admin/").content.decode()

    assert [warning.id for warning in warnings] == ["logs.W001"] * is_overdue
    assert metrics["logstore_maintenance_overdue",] == is_overdue
    assert ("It is overdue: run" in page) is is_overdue
    if last:
        succeeded = metrics["logstore_maintenance_success_timestamp_seconds",]
        assert succeeded == pytest.approx(time.time() - last * 3600, abs=60)
        assert "Nightly work was last done" in page
    else:
        assert ("logstore_maintenance_success_timestamp_seconds",) not in metrics
        assert "Nightly work was never done." in page
    if is_overdue:
        assert ("never done" in warnings[0].msg) is (last is None)


@pytest.mark.django_db
def test_metrics_are_there_while_the_database_is_away(client, monkeypatch):
    def away():
        raise OperationalError("away")

    monkeypatch.setattr(maintenance, "status", away)
    found = samples(client.get("/metrics").content.decode())
    assert ("logstore_maintenance_overdue",) not in found
    assert any(name[0] == "logstore_build_info" for name in found)
    assert check_maintenance() == []


# --- Free room -------------------------------------------------------------------------------------------------------


def test_on_sqlite_the_file_shrinks_and_the_write_ahead_log_goes_into_it(manage):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's tables keep their size")
    logs = [a_log(*[a_click()] * 100, session=str(session)) for session in range(100)]
    manage.succeed("importlogs", "-", stdin=json.dumps(logs).encode())
    file = Path(manage.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    before = file.stat().st_size
    manage.environment["LOGSTORE_RETENTION"] = "90d"
    manage.succeed("maintain")
    assert file.stat().st_size < before / 2
    wal = file.with_name(f"{file.name}-wal")
    assert not wal.exists() or wal.stat().st_size == 0


@pytest.mark.django_db(transaction=True)
def test_on_postgresql_what_was_deleted_makes_room_for_what_comes(post, settings, command):
    if connection.vendor != "postgresql":
        pytest.skip("counts dead rows, which SQLite has none of")
    settings.LOGSTORE_RETENTION = timedelta(days=90)
    sizes = []
    for _ in range(10):
        post([a_log(*[a_click()] * 1000, user=f"user {number}") for number in range(5)])
        command("maintain")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_relation_size('logs_action')")
            sizes.append(cursor.fetchone()[0])
    assert stored_actions() == 0
    assert sizes[-1] <= 1.1 * sizes[0]

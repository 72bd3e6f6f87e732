"""verifylogs finds what is left of an erased user in whatever table it is, and takes it away where that is safe."""

from __future__ import annotations

from datetime import date

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection

from logs.management.leftovers import parts_of_words
from logs.models import AccessRecord, Action, ErasedUser, IdempotencyKey, Log, RolledUpDay, Rollup
from logs.store import erasures, purge
from logs.store.days import Days
from logs.store.rollups import prepare
from tests.builders import a_log, a_staff_user, store_logs, stored_actions, stored_logs
from tests.commandline import findings

pytestmark = pytest.mark.django_db

ANN = "private ann-7"
DAY = date(2018, 10, 19)


@pytest.fixture
def erased():
    store_logs(a_log(user="bob"))
    purge.erase_user(ANN, "tester")


def behind_the_back_of_the_erasure(plant):
    """Plant something as an older version of the store, or a restored table, would have it."""
    kept = list(ErasedUser.objects.all())
    ErasedUser.objects.all().delete()
    plant()
    ErasedUser.objects.bulk_create(kept)


def a_log_of_ann():
    behind_the_back_of_the_erasure(lambda: store_logs(a_log(user=ANN), a_log(user=ANN, session="2")))


def rollups_of_ann():
    prepare(Days(DAY, DAY))
    Rollup.objects.create(day=DAY, kind="USERS", label=ANN, other="VIEW", x=0, y=0, count=1)


def a_history(model=Log, name=f"{ANN} / some / session", message=""):
    LogEntry.objects.create(
        user=User.objects.get_or_create(username="staff")[0],
        content_type=ContentType.objects.get_for_model(model),
        object_id="1",
        object_repr=name,
        action_flag=CHANGE,
        change_message=message,
    )


def a_session():
    session = SessionStore()
    session["filters"] = [{"user": ANN}]
    session.save()


def a_key(key):
    IdempotencyKey.objects.create(owner="", key=key, body_digest="", action_count=1)


REMOVED = {
    "logs": (a_log_of_ann, "logs from ", lambda: Log.objects.filter(user_id=ANN)),
    "rollups": (rollups_of_ann, f"rollups of {DAY}: ", lambda: Rollup.objects.filter(label=ANN)),
    "history of a log": (a_history, "entry ", lambda: LogEntry.objects.all()),
    "message of the history": (lambda: a_history(Action, "x", ANN), "entry ", lambda: LogEntry.objects.all()),
    "session": (a_session, "login session 1: ", lambda: Session.objects.all()),
    "access record": (
        lambda: AccessRecord.objects.create(by="staff", kind="VIEW", user_id=ANN, selection="one user"),
        "access record ",
        lambda: AccessRecord.objects.filter(user_id=ANN),
    ),
}


@pytest.mark.parametrize("table", REMOVED)
def test_what_is_left_is_found_and_removed(erased, table):
    plant, place, left = REMOVED[table]
    plant()
    assert left().exists()
    lines, failed = findings()
    assert failed
    assert [line.startswith(place) for line in lines] == [True]
    assert ANN not in lines[0]
    assert left().exists()
    lines, failed = findings("--fix")
    assert (lines[0].endswith("(repaired)"), failed) == (True, False)
    assert not left().exists()
    assert findings() == ([], False)
    assert (stored_logs(), stored_actions()) == (1, 3)


@pytest.mark.parametrize("key", [ANN, f"batch of {ANN}", f"{ANN}/2018-10-18", f"{ANN}:{ANN}"])
def test_an_idempotency_key_is_found_and_left_to_purgelogs(erased, command, key):
    a_key(key)
    for options in ([], ["--fix"]):
        lines, failed = findings(*options)
        assert failed
        assert [line.endswith("run purgelogs again for this user") for line in lines] == [True]
    command("purgelogs", "--user", ANN, "--yes")
    assert findings() == ([], False)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's foreign key refuses an action without its log")
def test_actions_without_a_log_are_found_too(erased):
    a_log_of_ann()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM logs_log WHERE user_id = %s", [ANN])
    assert any(line.startswith("actions without a log from ") for line in findings()[0])
    findings("--fix")
    assert findings() == ([], False)


def test_what_only_looks_alike_is_no_finding(erased):
    store_logs(a_log(user=ANN.upper()), a_log(user=f"{ANN}0"), a_log(user="x", session=ANN))
    for key in (f"{ANN}0", ANN.upper(), "private", "7"):
        a_key(key)
    a_history(User, ANN)
    a_history(Log, f"bob / {ANN}")
    assert findings() == ([], False)


def test_whoever_is_logged_in_is_not_taken_for_a_user_with_such_an_id(client):
    staff = a_staff_user()
    client.force_login(staff)
    purge.erase_user(str(staff.pk), "tester")
    assert findings("--fix") == ([], False)
    assert Session.objects.exists()


def test_a_day_whose_rollups_were_removed_is_rolled_up_again(erased):
    rollups_of_ann()
    findings("--fix")
    assert not RolledUpDay.objects.exists()
    prepare(Days(DAY, DAY))
    assert set(Rollup.objects.filter(kind="USERS").values_list("label", flat=True)) == {"bob"}


def test_a_forgiven_user_is_no_finding(erased, post):
    erasures.forgive(ANN)
    post([a_log(user=ANN)], headers={"Idempotency-Key": ANN})
    assert findings() == ([], False)


def test_parts_of_words_are_put_together_with_what_is_between():
    assert set(parts_of_words("of ann-7!")) == {"of", "ann", "7", "of ann", "ann-7", "of ann-7"}
    assert len(list(parts_of_words("a-" * 1000))) == 16 + 16 * 15 // 2

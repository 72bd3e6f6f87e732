"""purgelogs: exactly what was asked for goes, counts stay true, and writers don't wait."""

from __future__ import annotations

import random
import signal
import threading
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError
from django.db import connection

from logs.api.serializers import LogSerializer
from logs.models import Action, IdempotencyKey, Log
from logs.store import deletion
from logs.store.purge import Selection, purge
from tests.builders import a_click, a_log, a_navigation, a_view, as_lines, many_logs, stored_actions, stored_logs

EARLY, MIDDLE, LATE = (f"2018-10-{day}T08:00:00-06:00" for day in (10, 15, 20))


@pytest.fixture
def stored(db, post):
    post(
        [
            a_log(a_click(EARLY), a_view(EARLY), user="old"),
            a_log(a_click(EARLY), a_view(MIDDLE), a_navigation(LATE), user="both"),
            a_log(a_click(EARLY), user="both", session="old"),
            a_log(a_click(LATE), user="new"),
        ]
    )


def users():
    return sorted(Log.objects.values_list("user_id", "session_id"))


def test_actions_before_a_time_go_with_the_logs_left_empty(stored, command, get):
    said = command("purgelogs", "--before", MIDDLE, "--yes")
    assert said == "To delete: 4 actions from 3 logs and 2 logs left empty.\nDeleted: 4 actions.\n"
    assert users() == [("both", "XYZ456ABC"), ("new", "XYZ456ABC")]
    assert get(userId="both") == [a_log(a_view(MIDDLE), a_navigation(LATE), user="both")]


def test_the_counts_of_a_log_stay_true_and_its_etag_changes(stored, command, client):
    etag = client.get("/logs/?userId=both").headers["ETag"]
    before = Log.objects.get(user_id="both", session_id="XYZ456ABC")
    command("purgelogs", "--before", MIDDLE, "--yes")
    after = Log.objects.get(pk=before.pk)
    assert (after.click_count, after.view_count, after.navigate_count) == (0, 1, 1)
    assert (after.first_time.day, after.last_time.day) == (15, 20)
    assert after.version > before.version
    assert client.get("/logs/?userId=both").headers["ETag"] != etag
    assert "Findings: 0" in command("verifylogs")


def test_one_of_a_thing_is_not_said_in_the_plural(stored, command):
    said = command("purgelogs", "--user", "new", "--yes")
    assert said == (
        "To delete: 1 action from 1 log and 1 log left empty.\n"
        "Nothing of this user will be stored from then on.\n"
        "Deleted: 1 action.\n"
    )


def test_an_age_counts_back_from_now(stored, command, post):
    post([a_log(a_click("2999-01-01T00:00:00-06:00"), user="future")])
    command("purgelogs", "--older-than", "90d", "--yes")
    assert users() == [("future", "XYZ456ABC")]


def test_users_lose_everything_and_others_nothing(stored, command):
    command("purgelogs", "--user", "both", "new", "--user", "nobody", "--yes")
    assert users() == [("old", "XYZ456ABC")]
    assert stored_actions() == 2


def test_a_user_and_a_time_choose_what_meets_both(stored, command):
    command("purgelogs", "--user", "both", "--before", MIDDLE, "--yes")
    assert users() == [("both", "XYZ456ABC"), ("new", "XYZ456ABC"), ("old", "XYZ456ABC")]
    assert stored_actions() == 5


def test_a_dry_run_counts_and_deletes_nothing(stored, command):
    said = command("purgelogs", "--before", MIDDLE, "--dry-run")
    assert said == "Would delete: 4 actions from 3 logs and 2 logs left empty.\n"
    assert stored_actions() == 7


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "Say what to delete"),
        (["--yes"], "Say what to delete"),
        (["--user", ""], "must not be empty"),
        (["--older-than", "90"], "such as 12h or 90d"),
        (["--older-than", "0d"], "such as 12h or 90d"),
        (["--older-than", "999999w"], "before the year 1"),
        (["--before", "2018-10-18"], "A time must be"),
    ],
)
def test_a_purge_that_is_not_clear_is_refused(stored, command, options, message):
    with pytest.raises(CommandError, match=message):
        command("purgelogs", *options)
    assert stored_actions() == 7


@pytest.mark.usefixtures("stored")
def test_counts_that_were_wrong_before_do_not_stop_a_purge(command):
    Log.objects.update(click_count=0)
    command("purgelogs", "--before", MIDDLE, "--yes")
    assert stored_actions() == 3


@pytest.mark.usefixtures("stored")
def test_batches_end_anywhere_and_leave_counts_true(command, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH_ACTIONS", 1)
    command("purgelogs", "--before", MIDDLE, "--yes")
    assert (stored_actions(), stored_logs()) == (3, 2)
    assert "Findings: 0" in command("verifylogs")


def test_a_process_asks_before_it_deletes(manage):
    manage.succeed("demodata", "--actions", 50, "--end", "2018-10-18")
    for answer, code in ((b"n\n", 1), (b"", 1), (b"y\n", 0)):
        done = manage.run("purgelogs", "--older-than", "1d", stdin=answer)
        assert b"To delete: 50 actions" in done.stdout
        assert b"Delete them for good? [y/N]" in done.stderr
        assert done.returncode == code
        assert (manage.export() == b"") == (code == 0)


def test_after_erasure_no_table_holds_anything_of_the_user(manage, tmp_path):
    user = "Erase-Me-7f3a"
    (tmp_path / "logs").write_bytes(as_lines(*many_logs(20), a_log(user=user), a_log(user=user, session="2")))
    manage.succeed("importlogs", tmp_path / "logs")
    [(log_id,)] = manage.query(f"SELECT id FROM logs_log WHERE user_id = '{user}' AND session_id = '2'")
    manage.query(
        "INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff,"
        " is_active, date_joined) VALUES (1, 'staff', '', '', '', '', true, true, true, '2018-10-18 00:00:00+00')"
    )
    manage.query(
        "INSERT INTO django_admin_log (action_time, object_id, object_repr, action_flag, change_message,"
        f" content_type_id, user_id) SELECT '2018-10-18 00:00:00+00', '{log_id}', '{user} / 2', 2, '', id, 1"
        " FROM django_content_type WHERE app_label = 'logs' AND model = 'log'"
    )
    manage.query(
        "INSERT INTO logs_idempotencykey (owner, key, body_digest, action_count, created)"
        f" VALUES ('', 'upload of {user} no. 1', '', 3, '2018-10-18 00:00:00+00')"
    )
    assert user in _everything(manage)
    said = manage.succeed("purgelogs", "--user", user, "--yes")
    assert "2 logs left empty, 1 entry of the admin's history and 1 idempotency key." in said
    assert user not in _everything(manage)
    assert manage.export() == as_lines(*many_logs(20))


def _everything(manage):
    return "\n".join(str(row) for table in manage.tables() for row in manage.query(f'SELECT * FROM "{table}"'))


@pytest.mark.usefixtures("stored")
def test_erasure_takes_the_admins_history_of_the_user_alone(command):
    staff = User.objects.create_user("staff")
    log, other = (Log.objects.filter(user_id=user).first() for user in ("both", "new"))
    action = Action.objects.filter(user_id="both").first()
    for model, object_id, shown in (
        (Log, log.id, str(log)),
        (Log, 999_999, "both / gone before"),
        (Action, action.id, str(action)),
        (Log, other.id, str(other)),
        (User, log.id, "another kind of thing"),
    ):
        LogEntry.objects.create(
            user=staff,
            content_type=ContentType.objects.get_for_model(model),
            object_id=str(object_id),
            object_repr=shown,
            action_flag=CHANGE,
        )
    command("purgelogs", "--user", "both", "--yes")
    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["another kind of thing", str(other)]


@pytest.mark.django_db
def test_erasure_takes_the_idempotency_keys_that_name_the_user_and_no_others(post, command):
    for key in ("ann", "batch-of-ann-1", "Ann-2", "bob", "a%n", "an_"):
        post([a_log(a_click(), user="ann" if "nn" in key else "bob")], headers={"Idempotency-Key": key})
    command("purgelogs", "--user", "ann", "--before", LATE, "--yes")
    assert IdempotencyKey.objects.count() == 6
    command("purgelogs", "--user", "ann", "a_n", "--yes")
    assert sorted(IdempotencyKey.objects.values_list("key", flat=True)) == ["Ann-2", "a%n", "an_", "bob"]


@pytest.mark.django_db(transaction=True)
def test_writers_and_a_purge_neither_block_for_ever_nor_lose_anything(command, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH_ACTIONS", 50)
    keys = [(f"user-{number % 5}", f"session-{number}") for number in range(20)]
    failures = []

    def write(seed):
        generator = random.Random(seed)
        try:
            for _ in range(25):
                chosen = generator.sample(keys, 10)
                batch = [a_log(a_click(EARLY), a_view(LATE), user=user, session=session) for user, session in chosen]
                serializer = LogSerializer(data=batch, many=True)
                serializer.is_valid(raise_exception=True)
                serializer.save()
        except Exception as error:  # noqa: BLE001 - told to the test below
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=[seed]) for seed in range(3)]
    for writer in writers:
        writer.start()
    selection = Selection(before=datetime(2018, 10, 15, tzinfo=UTC))
    while any(writer.is_alive() for writer in writers):
        sum(purge(selection, "tester"))
    sum(purge(selection, "tester"))
    for writer in writers:
        writer.join()
    assert failures == []
    assert stored_actions() == 3 * 25 * 10
    assert set(Action.objects.values_list("type", flat=True)) == {"VIEW"}
    assert "Findings: 0" in command("verifylogs")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_purge_stopped_at_random_moments_leaves_a_true_store(manage, tmp_path, signal_number):
    (tmp_path / "logs").write_bytes(as_lines(*many_logs(400)))
    manage.succeed("importlogs", tmp_path / "logs")
    arguments = ["purgelogs", "--before", "2018-10-14T00:00:00-06:00", "--yes"]
    codes = [manage.interrupt_at_random(signal_number, *arguments) for _ in range(2)]
    assert set(codes) <= ({0, 130, -2} if signal_number is signal.SIGINT else {0, -9})
    assert "Findings: 0" in manage.succeed("verifylogs")
    manage.finish_in_small_steps(*arguments)
    kept = [log for log in many_logs(400) if log["actions"][0]["time"] >= "2018-10-14"]
    assert manage.export() == as_lines(*kept)
    assert "Findings: 0" in manage.succeed("verifylogs")

"""An import knows by what they say which actions are stored, each of which stands for one of the import's."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter

import pytest
from django.core.management import CommandError
from django.db import connection, transaction
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from logs.lib import times
from logs.lib.locks import only_one
from logs.models import Action, Log
from logs.store import known
from logs.store.known import KnownActions
from logs.transfer import importing
from logs.transfer.importing import Importer
from logs.transfer.sources import LogText
from tests.builders import (
    a_click,
    a_log,
    a_navigation,
    a_view,
    as_lines,
    many_logs,
    store_logs,
    stored_actions,
    stored_logs,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(importing, "CHUNK_BYTES", 1)


@pytest.mark.parametrize("form", ["ndjson", "json", "ndjson.gz"])
def test_the_stores_own_export_adds_nothing(command, post, tmp_path, form):
    post([a_log(a_view(), a_view(), a_click(x=1.50)), a_log(a_navigation(), user="bob")])
    post([a_log(a_view(), a_view("2017-01-01T00:00:00-06:00", viewed_id='\u00e9\\"\n'))])
    before = command("exportlogs")
    command("exportlogs", "-o", tmp_path / f"logs.{form}")
    assert (
        command("importlogs", tmp_path / f"logs.{form}") == "Stored: 0 actions in 0 logs. There already: 6 actions.\n"
    )
    assert command("exportlogs") == before


def test_of_a_file_with_one_changed_log_only_that_is_stored(command, file):
    logs = many_logs(200)
    command("importlogs", file(as_lines(*logs)))
    logs[3]["actions"][5]["properties"]["viewedId"] = "changed"
    said = command("importlogs", file(as_lines(*logs)))
    assert said == "Stored: 1 action in 1 log. There already: 3,999 actions.\n"


def test_overlapping_files_of_one_command_double_nothing(command, file):
    logs = many_logs(30)
    command("importlogs", file(as_lines(*logs[:20]), "first"), file(as_lines(*logs[10:]), "second"))
    assert (stored_logs(), stored_actions()) == (30, 600)


@pytest.mark.parametrize("there", range(5))
@pytest.mark.parametrize("cut", [False, True], ids=["one chunk", "a chunk each"])
def test_of_equal_actions_a_file_makes_up_to_as_many_as_it_has(command, post, file, monkeypatch, there, cut):
    if cut:
        monkeypatch.setattr(importing, "CHUNK_BYTES", 1)
    for _ in range(there):
        post([a_log(a_view())])
    command("importlogs", file(as_lines(a_log(a_view()), a_log(a_click(), a_view()))))
    assert Action.objects.filter(type="VIEW").count() == max(there, 2)
    assert Action.objects.filter(type="CLICK").count() == 1


@pytest.mark.parametrize(
    "stored, imported, is_same",
    [
        ('{"viewedId":"a","x":1,"y":{"b":1,"a":[1,2]}}', '{"y": {"a": [1, 2], "b": 1}, "x": 1, "viewedId": "a"}', True),
        ('{"viewedId":"\\u00e9"}', '{"viewedId":"é"}', True),
        ('{"viewedId":"a","x":1}', '{"viewedId":"a","x":1.0}', False),
        ('{"viewedId":"a","x":1}', '{"viewedId":"a","x":true}', False),
        ('{"viewedId":"a","x":[1,2]}', '{"viewedId":"a","x":[2,1]}', False),
        ('{"viewedId":"a"}', '{"viewedId":"A"}', False),
        ('{"viewedId":"a"}', '{"viewedId":"a","x":null}', False),
    ],
)
def test_properties_are_the_same_where_they_are_the_same_json(command, file, stored, imported, is_same):
    log = as_lines(a_log(a_view())).decode()
    for properties in (stored, imported):
        command("importlogs", file(log.replace('{"viewedId":"FDJKLHSLD"}', properties).encode()))
    assert stored_actions() == 2 - is_same


def test_one_that_is_spelled_the_same_is_taken_before_one_that_says_the_same(command, post, file):
    one, other = a_view(x=1, y=2), a_view(y=2, x=1)
    post([a_log(one), a_log(other)])
    assert "Stored: 0 actions" in command("importlogs", file(as_lines(a_log(other), a_log(one))))
    assert "Stored: 1 action " in command("importlogs", file(as_lines(a_log(other, other, other))))


@pytest.mark.parametrize(
    "other",
    [
        a_log(a_view(), user="another"),
        a_log(a_view(), session="another"),
        a_log(a_view("2018-10-18T21:37:29-06:00")),
        a_log(a_view(viewed_id="another")),
        a_log({**a_navigation(), "properties": {"pageFrom": "x", "pageTo": "y", "viewedId": "FDJKLHSLD"}}),
    ],
    ids=["user", "session", "time", "properties", "type"],
)
def test_whatever_differs_is_another_action(command, post, file, other):
    post([a_log(a_view())])
    assert "Stored: 1 action in 1 log." in command("importlogs", file(as_lines(other)))


def test_fractions_of_a_second_tell_actions_apart(command, file, settings):
    settings.LOGSTORE_ANY_OFFSET = True
    moments = ["2018-10-18T21:37:28-06:00", "2018-10-18T21:37:28.000001-06:00", "2018-10-18T21:37:28.5-06:00"]
    command("importlogs", file(as_lines(a_log(*map(a_view, moments[:2])))))
    assert "Stored: 1 action in 1 log. There already: 2 actions." in command(
        "importlogs", file(as_lines(a_log(*map(a_view, moments))))
    )


def test_what_was_purged_is_brought_back_alone(command, file):
    logs = many_logs(30)
    command("importlogs", file(as_lines(*logs)))
    command("purgelogs", "--before", "2018-10-11T00:00:00-06:00", "--yes")
    there = stored_actions()
    assert 0 < there < 600
    assert f"There already: {there} actions" in command("importlogs", file(as_lines(*logs)))
    assert stored_actions() == 600
    assert "Findings: 0" in command("verifylogs")


def test_a_log_without_anything_new_keeps_its_version(command, file):
    command("importlogs", file(as_lines(a_log())))
    command("importlogs", file(as_lines(a_log(), a_log(user="bob"))))
    assert set(Log.objects.values_list("version", flat=True)) == {1}


def test_more_logs_than_are_looked_up_at_once(command, file, monkeypatch):
    monkeypatch.setattr(known, "_LOGS_AT_ONCE", 7)
    monkeypatch.setattr(known, "_ROWS_AT_ONCE", 3)
    logs = many_logs(60, actions=2)
    command("importlogs", file(as_lines(*logs)))
    assert "Stored: 0 actions" in command("importlogs", file(as_lines(*logs)))
    assert stored_actions() == 120


def test_what_arrives_while_an_import_runs_does_not_stand_for_any_of_it(post, small_chunks):
    """Of the two it can't be told which is which: nothing is lost."""
    log = a_log(a_view())

    def logs():
        yield LogText(0, 1, as_lines(a_log(user="other")).strip())
        post([log])
        yield LogText(1, 2, as_lines(log).strip())

    Importer().run(logs())
    assert Log.objects.get(user_id=log["userId"]).view_count == 2


def test_what_stood_for_one_is_remembered_in_a_bit_each():
    taken = KnownActions()
    ids = [1, 2, 65_535, 65_536, 10_000_000]
    for action_id in ids:
        assert not taken._is_taken(action_id)
        taken._mark_taken(action_id)
    assert [action_id for action_id in range(70_000) if taken._is_taken(action_id)] == ids[:-1]
    assert sum(map(len, taken._taken.values())) == 3 * 8192


ACTIONS = st.builds(
    lambda second, name: a_view(f"2018-10-18T21:37:0{second}-06:00", name), st.integers(0, 1), st.sampled_from("ab")
)
FILES = st.lists(
    st.lists(
        st.builds(
            lambda actions, user: a_log(*actions, user=user),
            st.lists(ACTIONS, min_size=1, max_size=4),
            st.sampled_from(["ann", "bob"]),
        ),
        min_size=1,
        max_size=5,
    ),
    min_size=1,
    max_size=4,
)


def _count(logs):
    return Counter((log["userId"], json.dumps(action)) for log in logs for action in log["actions"])


@given(FILES, st.lists(st.booleans(), min_size=4, max_size=4))
@limits(max_examples=40)
def test_any_files_in_any_order_make_as_many_as_the_most_that_one_of_them_has(files, cuts):
    Action.objects.all().delete()
    Log.objects.all().delete()
    expected: Counter = Counter()
    size = importing.CHUNK_BYTES
    for logs, cut in zip(files, cuts, strict=False):
        importing.CHUNK_BYTES = 1 if cut else size
        try:
            texts = [LogText(index, index + 1, as_lines(log).strip()) for index, log in enumerate(logs)]
            Importer().run(iter(texts))
        finally:
            importing.CHUNK_BYTES = size
        expected |= _count(logs)
    stored = Counter(
        (action.user_id, json.dumps(a_view(times.format_time(action.time), action.properties["viewedId"])))
        for action in Action.objects.all()
    )
    assert stored == expected


@pytest.mark.django_db(transaction=True)
def test_what_a_killed_import_is_still_storing_is_waited_for(command, file):
    if connection.vendor != "postgresql":
        pytest.skip("of a process that was killed SQLite stores nothing more")
    log = a_log(a_view())
    is_stored, may_end = threading.Event(), threading.Event()

    def store():
        try:
            with transaction.atomic():
                store_logs(log)
                is_stored.set()
                may_end.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=store)
    thread.start()
    assert is_stored.wait(10)
    threading.Timer(0.3, may_end.set).start()
    assert "There already: 1 action." in command("importlogs", file(as_lines(log)))
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_a_lock_is_kept_for_as_long_as_it_takes():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no session that could end")
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} SET idle_in_transaction_session_timeout = 50")
        try:
            with only_one("import"):
                time.sleep(0.3)
                with only_one("import") as is_alone:
                    assert not is_alone
        finally:
            cursor.execute(f"ALTER DATABASE {database} RESET ALL")


class TestOneAtATime:
    def test_a_second_import_is_refused_until_the_first_is_done(self, command, file):
        path = file(as_lines(a_log()))
        with only_one("import") as is_alone:
            assert is_alone
            with pytest.raises(CommandError, match="Another import is at work"):
                command("importlogs", path)
            with pytest.raises(CommandError, match="Another import is at work"):
                command("demodata")
            assert command("importlogs", path, "--dry-run").startswith("Valid: 3 actions")
        assert command("importlogs", path) == "Stored: 3 actions in 1 log.\n"

    def test_a_lock_of_another_name_is_another_lock(self):
        with only_one("import"), only_one("other") as is_alone:
            assert is_alone

    def test_a_thread_of_the_same_process_counts_as_another(self):
        got = []

        def ask():
            with only_one("import") as is_alone:
                got.append(is_alone)
            connection.close()

        with only_one("import"):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        assert got == [False]


def test_a_gzipped_copy_is_the_same_file(command, file):
    content = as_lines(*many_logs(10))
    command("importlogs", file(content))
    assert "Stored: 0 actions" in command("importlogs", file(gzip.compress(content), "copy.gz"))

"""The database itself: what it refuses whoever writes, and which index serves which query."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction

from logs.api.query import LogQuery
from logs.models import Action, IdempotencyKey, Log
from tests.builders import a_click, a_log, a_view, stored_actions
from tests.citus import skip_on_citus

pytestmark = pytest.mark.django_db

NOW = datetime(2018, 10, 19, 3, 37, 28, tzinfo=UTC)
PROPERTIES = {
    "CLICK": {"locationX": 1, "locationY": 2.5},
    "VIEW": {"viewedId": "v"},
    "NAVIGATE": {"pageFrom": "a", "pageTo": "b"},
}

only_on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite can't add a foreign key of a pair to a table"
)


def new_log(**fields: Any) -> Log:
    return Log.objects.create(**{"user_id": "u", "session_id": "s", "first_time": NOW, "last_time": NOW, **fields})


def new_action(log: Log, **fields: Any) -> Action:
    fields = {"user_id": log.user_id, "log_id": log.id, "time": NOW, "type": "VIEW", **fields}
    return Action.objects.create(**{"properties": PROPERTIES.get(fields["type"], {}), **fields})


# --- What it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action_type", PROPERTIES)
def test_an_action_with_its_properties_is_taken(action_type):
    new_action(new_log(), type=action_type)
    assert stored_actions() == 1


@pytest.mark.parametrize("name", ["user_id", "session_id"])
@pytest.mark.parametrize("value", ["", "x" * 256, None], ids=["empty", "too long", "null"])
def test_a_log_without_a_right_id_is_refused(name, value):
    with pytest.raises(DatabaseError), transaction.atomic():
        new_log(**{name: value})


@pytest.mark.parametrize("field", ["version", "first_time", "last_time", "click_count", "view_count", "navigate_count"])
def test_a_log_without_a_count_or_time_is_refused(field):
    with pytest.raises(IntegrityError), transaction.atomic():
        new_log(**{field: None})


@pytest.mark.parametrize("field", ["version", "click_count", "view_count", "navigate_count"])
def test_a_negative_count_is_refused(field):
    with pytest.raises(IntegrityError), transaction.atomic():
        new_log(**{field: -1})


def test_a_log_that_ends_before_it_begins_is_refused():
    with pytest.raises(IntegrityError), transaction.atomic():
        new_log(last_time=NOW - timedelta(microseconds=1))


def test_a_second_log_of_a_pair_is_refused():
    new_log()
    new_log(session_id="S")
    new_log(user_id="U")
    with pytest.raises(IntegrityError), transaction.atomic():
        new_log()


@pytest.mark.parametrize("field", ["user_id", "log_id", "time", "type", "properties"])
def test_an_action_without_a_field_is_refused(field):
    log = new_log()
    with pytest.raises((IntegrityError, DataError, ValueError)), transaction.atomic():
        new_action(log, **{field: None})


@pytest.mark.parametrize("action_type", ["", "click", "WRONG"])
def test_an_unknown_type_is_refused(action_type):
    log = new_log()
    with pytest.raises(IntegrityError), transaction.atomic():
        new_action(log, type=action_type, properties=PROPERTIES["CLICK"])


@pytest.mark.parametrize(
    "action_type, member, value",
    [
        (action_type, member, value)
        for action_type, properties in PROPERTIES.items()
        for member in properties
        for value in ("absent", None, True, [], {}, "text" if action_type == "CLICK" else 7)
    ],
    ids=str,
)
def test_an_action_without_the_properties_of_its_type_is_refused(action_type, member, value):
    properties = {**PROPERTIES[action_type], member: value}
    if value == "absent":
        del properties[member]
    log = new_log()
    with pytest.raises(IntegrityError), transaction.atomic():
        new_action(log, type=action_type, properties=properties)


@pytest.mark.parametrize("properties", [[], [1], "text", 7, True], ids=str)
@pytest.mark.parametrize("action_type", PROPERTIES)
def test_properties_that_are_no_object_are_refused(action_type, properties):
    log = new_log()
    with pytest.raises(DatabaseError), transaction.atomic():
        new_action(log, type=action_type, properties=properties)


def test_properties_that_are_not_json_are_refused():
    new_action(new_log())
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE logs_action SET properties = '{'")


@only_on_postgresql
@pytest.mark.parametrize("change", [{"log_id": 0}, {"user_id": "other"}], ids=["no such log", "another user's log"])
def test_an_action_of_no_log_of_its_user_is_refused(change):
    log = new_log()
    with pytest.raises(IntegrityError), transaction.atomic():
        new_action(log, **change)


@only_on_postgresql
def test_a_log_that_has_actions_cannot_go_without_them():
    new_action(new_log())
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM logs_log")


def test_a_key_of_an_owner_is_one():
    key = {"owner": "o", "key": "k", "body_digest": "d", "action_count": 1}
    IdempotencyKey.objects.create(**key)
    IdempotencyKey.objects.create(**{**key, "owner": "other"})
    with pytest.raises(IntegrityError), transaction.atomic():
        IdempotencyKey.objects.create(**key)


def test_ids_are_compared_to_the_letter():
    new_log(user_id="a")
    new_log(user_id="A")
    assert Log.objects.filter(user_id="a").count() == 1
    assert Log.objects.filter(user_id="a ").count() == 0


@pytest.mark.parametrize("fields", [None, ["type"]], ids=["whole", "one field"])
def test_saving_never_moves_a_row_to_another_user(fields):
    log = new_log()
    action = new_action(log)
    action.user_id = log.user_id = "other"
    action.type, action.properties = "CLICK", PROPERTIES["CLICK"]
    action.save(update_fields=fields and ["type", "properties"])
    log.save()
    assert Action.objects.get().user_id == Log.objects.get().user_id == "u"
    assert Action.objects.get().type == "CLICK"


def test_deleting_a_log_deletes_its_actions_and_no_others():
    new_action(new_log())
    log = new_log(user_id="other")
    new_action(log)
    log.delete()
    assert [action.user_id for action in Action.objects.all()] == ["u"]


def test_sqlite_is_durable_and_lets_readers_and_a_writer_work_at_once():
    if connection.vendor != "sqlite":
        pytest.skip("of SQLite's pragmas alone")
    with connection.cursor() as cursor:
        pragmas = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        foreign_keys = cursor.execute("PRAGMA foreign_keys").fetchone()[0]
        patience = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    assert foreign_keys == 1
    assert patience >= 5_000


def test_postgresql_commits_durably():
    if connection.vendor != "postgresql":
        pytest.skip("of PostgreSQL's settings alone")
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


# --- Which index serves which query ----------------------------------------------------------------------------------

USERS, SESSIONS, ACTIONS = 300, 3, 12


@pytest.fixture
def many_logs(post):
    skip_on_citus("reads the plans of one server")
    day = datetime(2018, 1, 1, tzinfo=UTC)

    def time(number: int) -> str:
        return (day + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S-06:00")

    batch = [
        a_log(*([a_view(time(user * 10 + session)), a_click(time(user * 10 + session + 1))] * (ACTIONS // 2)),
              user=str(user), session=str(session))
        for user in range(USERS)
        for session in range(SESSIONS)
    ]  # fmt: skip
    assert post(batch).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


WINDOW = "from=2018-02-01T00:00:00-06:00&to=2018-02-01T12:00:00-06:00"


def plan_of(queryset) -> str:
    """What the database means to do, as one text."""
    if connection.vendor == "sqlite":
        return queryset.explain()
    return json.dumps(json.loads(queryset.explain(format="json")), indent=0)


def plan_of_actions(query: str) -> str:
    chosen = LogQuery(query)
    return plan_of(chosen.actions(None if chosen.limit is None else chosen.page()).wire_records())


def scans_whole_table(plan: str, table: str) -> bool:
    if connection.vendor == "sqlite":
        # "SCAN table USING INDEX" walks an index in its order; only "SCAN table" reads all for nothing.
        return re.search(rf"\bSCAN (TABLE )?{table}\b(?! USING)", plan) is not None
    return re.search(rf'"Node Type": "Seq Scan",[^{{}}]*"Relation Name": "{table}"', plan) is not None


def sorts(plan: str) -> bool:
    return "TEMP B-TREE" in plan or '"Node Type": "Sort"' in plan


def test_a_scan_of_the_whole_table_would_be_seen(many_logs):
    assert scans_whole_table(plan_of(Action.objects.filter(type="CLICK")), "logs_action")
    assert sorts(plan_of(Action.objects.order_by("type", "log_id")))


@pytest.mark.parametrize("query", ["userId=7", f"userId=7&{WINDOW}", "userId=7&types=VIEW", "userId=7&order=newest"])
def test_one_users_actions_are_read_from_their_index(many_logs, query):
    plan = plan_of_actions(query)
    # Of a user's actions in a window the database may as well look at the window's, when those are few.
    assert "action_by_user" in plan or (WINDOW in query and "action_by_time" in plan)
    assert not scans_whole_table(plan, "logs_action")
    assert not scans_whole_table(plan, "logs_log")


@pytest.mark.parametrize("query", ["userId=7&limit=2", f"userId=7&limit=2&{WINDOW}"])
def test_a_page_of_one_users_logs_is_read_from_indexes(many_logs, query):
    plan = plan_of_actions(query)
    assert "action_by_user" in plan
    assert not scans_whole_table(plan, "logs_action")


@pytest.mark.parametrize(
    "query", ["sessionId=7", "sessionId=7&limit=2", f"sessionId=7&{WINDOW}", "sessionId=7&userId=7"]
)
def test_one_sessions_actions_are_read_from_indexes(many_logs, query):
    plan = plan_of_actions(query)
    assert not scans_whole_table(plan, "logs_action")
    assert not scans_whole_table(plan, "logs_log")


def test_a_window_of_time_over_everybody_is_read_from_its_index(many_logs):
    plan = plan_of_actions(WINDOW)
    assert "action_by_time" in plan
    assert not scans_whole_table(plan, "logs_action")


def test_the_versions_of_a_users_logs_are_read_from_an_index(many_logs):
    plan = plan_of(Log.objects.filter(user_id="7").values_list("id", "version"))
    # SQLite names the indexes of its constraints by itself.
    assert re.search("log_by_user|log_is_one_session_of_a_user|sqlite_autoindex_logs_log", plan)
    assert not scans_whole_table(plan, "logs_log")


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_page_of_everything_reads_its_own_actions_alone(many_logs, order):
    plan = plan_of_actions(f"limit=5&order={order}")
    assert not scans_whole_table(plan, "logs_action")
    assert not scans_whole_table(plan, "logs_log")


@pytest.mark.parametrize("query", ["userId=7", "userId=7&types=CLICK"])
def test_one_users_answer_needs_no_sorting_of_others(many_logs, query):
    # A user's few hundred rows may be sorted; what must not be is the table.
    plan = plan_of_actions(query)
    if connection.vendor == "sqlite":
        assert not sorts(plan)
    assert "user_id" in plan


def test_old_keys_are_found_by_their_index():
    plan = plan_of(IdempotencyKey.objects.filter(created__lt=NOW).values_list("id", flat=True))
    if connection.vendor == "sqlite":
        assert "USING" in plan
    assert any(
        "created" in index["columns"]
        for index in connection.introspection.get_constraints(
            connection.cursor(), IdempotencyKey._meta.db_table
        ).values()
        if index["index"]
    )

"""What is stored, and what may never be: logs and actions, what makes repeats known, rollups, erasures and looks."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models import F, FilteredRelation, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Length, Now

from logs.lib.fields import JSON_NUMBER, JSON_STRING, JSONMemberType, JSONText, JSONTextField, WireAction
from logs.lib.limits import MAX_ID_LENGTH, MAX_KEY_LENGTH


class ActionType(models.TextChoices):
    """What a user did; each fact about a type stands here once."""

    CLICK = "CLICK"
    VIEW = "VIEW"
    NAVIGATE = "NAVIGATE"

    @property
    def counter(self) -> str:
        """The column of Log that counts the actions of this type."""
        return f"{self.value.lower()}_count"

    @property
    def members(self) -> tuple[str, ...]:
        """The members that the properties of such an action must have: numbers for a CLICK, otherwise strings."""
        return _MEMBERS[self]

    @property
    def plural(self) -> str:
        """What several actions of this type are called: `Clicks`."""
        return _PLURALS[self]

    def sentence(self, properties: Mapping[str, object]) -> str:
        """Say what was done: `clicked at 52, 11`.

        properties: at least the members that such an action must have.
        """
        return _SENTENCES[self].format_map(properties)


_MEMBERS = {
    ActionType.CLICK: ("locationX", "locationY"),
    ActionType.VIEW: ("viewedId",),
    ActionType.NAVIGATE: ("pageFrom", "pageTo"),
}
_PLURALS = {ActionType.CLICK: "Clicks", ActionType.VIEW: "Views", ActionType.NAVIGATE: "Navigations"}
# !s: a number that was sent as 1e400 knows how it was written, and tells it as its text alone.
_SENTENCES = {
    ActionType.CLICK: "clicked at {locationX!s}, {locationY!s}",
    ActionType.VIEW: "viewed {viewedId!s}",
    ActionType.NAVIGATE: "navigated from {pageFrom!s} to {pageTo!s}",
}


def _is_id(field: str) -> Q:
    return Q(models.lookups.IntegerGreaterThanOrEqual(Length(field), 1)) & Q(
        models.lookups.IntegerLessThanOrEqual(Length(field), MAX_ID_LENGTH)
    )


class _KeptByUser(models.Model):
    """A row that belongs to one user for good: a change of user_id would move it to another machine of a cluster."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key and field.attname != "user_id"
            ]
        super().save(*args, **kwargs)


class Log(_KeptByUser):
    """What one user did in one session, with counts and times of its actions that every append keeps true."""

    user_id = models.CharField("user", max_length=MAX_ID_LENGTH)
    session_id = models.CharField("session", max_length=MAX_ID_LENGTH)
    version = models.PositiveBigIntegerField(default=1, help_text="Rises with every change to the log or its actions.")
    first_time = models.DateTimeField("first action")
    last_time = models.DateTimeField("last action")
    click_count = models.PositiveBigIntegerField("clicks", default=0)
    view_count = models.PositiveBigIntegerField("views", default=0)
    navigate_count = models.PositiveBigIntegerField("navigations", default=0)

    class Meta:
        # Not a model's usual one: it reaches past one log, and takes all that is kept of a user.
        permissions = [("erase_user", "Can erase everything stored about a user")]
        indexes = [
            # The admin's list, newest first, and its range of time. Not last_time, which every append changes: an index
            # on it would make each of those updates write to every index of the table.
            models.Index(fields=["first_time", "id"], name="log_by_first_time"),
            # The admin's search for ids that begin with a text, under any collation of the database.
            # With the id, because the foreign key of actions is checked by whichever index looks as good while the
            # table is empty: by the user alone each check would read all of the user's logs.
            models.Index(
                fields=["user_id", "id"], name="log_by_user_prefix", opclasses=["varchar_pattern_ops", "int8_ops"]
            ),
            models.Index(fields=["session_id"], name="log_by_session_prefix", opclasses=["varchar_pattern_ops"]),
        ]
        constraints = [
            # The upsert of every append; also a user's logs by session.
            models.UniqueConstraint(fields=["user_id", "session_id"], name="log_is_one_session_of_a_user"),
            # The target of the action's foreign key; also a user's logs, oldest first.
            models.UniqueConstraint(fields=["user_id", "id"], name="log_by_user"),
            models.CheckConstraint(condition=_is_id("user_id"), name="log_user_id_length"),
            models.CheckConstraint(condition=_is_id("session_id"), name="log_session_id_length"),
            models.CheckConstraint(condition=Q(first_time__lte=F("last_time")), name="log_times_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} / {self.session_id}"

    @property
    def counts(self) -> list[tuple[ActionType, int]]:
        """How many actions of each type it has."""
        return [(action_type, getattr(self, action_type.counter)) for action_type in ActionType]

    @property
    def action_count(self) -> int:
        return sum(count for _, count in self.counts)


# How many actions a log has, for a query of logs.
ACTION_COUNT: Combinable = functools.reduce(operator.add, (F(action_type.counter) for action_type in ActionType))


class ActionRecord(NamedTuple):
    """An action with what an answer says of its log; properties is JSON text."""

    log_id: int
    user_id: str
    session_id: str
    time: datetime
    type: str
    properties: str


class WireRecord(NamedTuple):
    """An action as JSON text of the wire, with the ids of its log."""

    log_id: int
    user_id: str
    session_id: str
    action: str


class ActionQuerySet(models.QuerySet["Action"]):
    def with_log(self, condition: Q | None = None) -> ActionQuerySet:
        """Join each action's log as `its_log`; condition: which logs, spelled with `log__`.

        It is on the log's side of the join: on the action's own log_id, to which the ORM would turn log__id, neither
        database could use an index for it.
        """
        joined = FilteredRelation("log", condition=condition or Q(log__id__isnull=False))
        return self.alias(its_log=joined).filter(its_log__isnull=False)

    def in_log_order(self, newest_first: bool = False, log_condition: Q | None = None) -> ActionQuerySet:
        """Sort as every answer does: logs by when they were first stored, their actions by time, then as stored."""
        return self.with_log(log_condition).order_by("-its_log__id" if newest_first else "its_log__id", "time", "id")

    def records(self) -> models.QuerySet[Action, ActionRecord]:
        """Select actions with their logs as tuples like ActionRecord, properties not decoded."""
        return self.values_list("its_log__id", "user_id", "its_log__session_id", "time", "type", JSONText("properties"))

    def wire_records(self) -> models.QuerySet[Action, WireRecord]:
        """Select actions with their logs as tuples like WireRecord: the database writes the JSON of the wire."""
        return self.values_list(
            "its_log__id", "user_id", "its_log__session_id", WireAction("time", "type", "properties")
        )


class Action(_KeptByUser):
    """One thing a user did, at an instant, within a log."""

    # The pair, so that one schema serves a file and a cluster that is spread by user_id. A ForeignObject makes no
    # constraint: a migration adds the foreign key on PostgreSQL.
    user_id = models.CharField("user", max_length=MAX_ID_LENGTH)
    log_id = models.BigIntegerField()
    log = models.ForeignObject(
        Log,
        on_delete=models.CASCADE,
        from_fields=["user_id", "log_id"],
        to_fields=["user_id", "id"],
        related_name="actions",
    )
    time = models.DateTimeField()
    type = models.CharField(max_length=8, choices=ActionType.choices)
    properties = JSONTextField()
    # The database's own clock, so that what writes actions need not say it.
    received_at = models.DateTimeField("received", null=True, editable=False, db_default=Now())

    objects = ActionQuerySet.as_manager()

    class Meta:
        indexes = [
            # GET with userId, with or without a time window, in the order of the answer.
            models.Index(fields=["user_id", "log_id", "time", "id"], name="action_by_user"),
            # GET with a time window over everybody.
            models.Index(fields=["time"], name="action_by_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(type__in=ActionType.values), name="action_type_is_known"),
            *(
                models.CheckConstraint(
                    condition=~Q(type=action_type)
                    | Q(
                        *(
                            models.lookups.In(JSONMemberType("properties", Value(member)), json_types)
                            for member in action_type.members
                        )
                    ),
                    name=f"action_{action_type.lower()}_has_its_properties",
                )
                for action_type, json_types in [
                    (ActionType.CLICK, JSON_NUMBER),
                    (ActionType.VIEW, JSON_STRING),
                    (ActionType.NAVIGATE, JSON_STRING),
                ]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} at {self.time.isoformat()}"


class IdempotencyKey(models.Model):
    """A key that came with a batch, kept in the batch's own transaction so that a repeat stores nothing more."""

    owner = models.CharField(max_length=64, help_text="Whose key it is: two callers' keys never meet.")
    key = models.CharField(max_length=MAX_KEY_LENGTH)
    body_digest = models.CharField(max_length=64, help_text="SHA-256 of the decompressed body, in hexadecimal.")
    action_count = models.PositiveIntegerField()
    # Indexed to find the ones that may be forgotten.
    created = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key_of_owner")]

    def __str__(self) -> str:
        return self.key


class RolledUpDay(models.Model):
    """A day (UTC) that has its rollups; any other is rolled up when Insights or the nightly work needs it."""

    day = models.DateField(primary_key=True)

    def __str__(self) -> str:
        return self.day.isoformat()


class StaleDay(models.Model):
    """A mark that actions of a past day (UTC) were added, so that its rollups are out of date.

    Each batch adds a row of its own: an update of one row a day would make writers wait for each other. All the marks
    of a day are deleted when it is rolled up again.
    """

    day = models.DateField(db_index=True)

    def __str__(self) -> str:
        return self.day.isoformat()


class RollupKind(models.TextChoices):
    ACTIVITY = "ACTIVITY"
    CLICKS = "CLICKS"
    VIEWS = "VIEWS"
    FLOW = "FLOW"
    USERS = "USERS"


class Rollup(models.Model):
    """How often something happened on a day (UTC): Insights reads it instead of the actions.

    The kind decides what label, other, x and y mean: see logs.store.counts.
    """

    day = models.DateField()
    kind = models.CharField(max_length=8, choices=RollupKind.choices)
    label = models.TextField()
    other = models.TextField()
    x = models.BigIntegerField()
    y = models.BigIntegerField()
    count = models.BigIntegerField()

    class Meta:
        # One chart over a range of days; also one day's rollups, to replace them.
        indexes = [models.Index(fields=["kind", "day"], name="rollup_by_kind_and_day")]

    def __str__(self) -> str:
        return f"{self.kind} on {self.day.isoformat()}"


class Maintenance(models.Model):
    """When the nightly work was last done, in one row."""

    succeeded = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Done at {self.succeeded:%Y-%m-%d %H:%M} UTC"


class ErasedUser(models.Model):
    """That somebody was erased, and how much that was: never who, but to whoever has both the id and the SECRET_KEY.

    While the row is there nothing of this user is stored.
    """

    digest = models.CharField(max_length=64, help_text="HMAC of the user's id: see logs.store.erasures.")
    secret = models.CharField(max_length=16, help_text="Which SECRET_KEY the digest was made with.")
    time = models.DateTimeField("asked for", auto_now_add=True, help_text="Of the first time, if there were several.")
    finished = models.DateTimeField(null=True, help_text="None while something may be left.")
    by = models.CharField(max_length=200, help_text="A user of the admin, or the system's user for a command.")
    log_count = models.PositiveBigIntegerField("logs", default=0)
    action_count = models.PositiveBigIntegerField("actions", default=0)
    key_count = models.PositiveBigIntegerField("idempotency keys", default=0)
    history_count = models.PositiveBigIntegerField("entries of the admin's history", default=0)

    class Meta:
        verbose_name = "erasure"
        # To delete one is to forgive: the user's logs are taken again.
        default_permissions = ("view", "delete")
        # What every write looks for. Also the list of erasures, newest first: there are few.
        constraints = [models.UniqueConstraint(fields=["digest"], name="erased_user_is_known_once")]

    def __str__(self) -> str:
        return f"Erasure of {self.time:%Y-%m-%d %H:%M} UTC"


class AccessKind(models.TextChoices):
    VIEW = "VIEW", "Viewed"
    EXPORT = "EXPORT", "Exported"
    ERASE = "ERASE", "Erased"


class AccessRecord(models.Model):
    """That somebody looked at stored data, took it out or erased it."""

    time = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=200, help_text="A user of the admin, or the system's user for a command.")
    kind = models.CharField("what", max_length=6, choices=AccessKind.choices)
    user_id = models.CharField(
        "whose", max_length=MAX_ID_LENGTH, blank=True, help_text="Empty for everybody's, and once the user is erased."
    )
    selection = models.TextField(help_text="Which data, but for the user.")
    count = models.PositiveBigIntegerField("actions", null=True, help_text="None where it is not known how many.")

    class Meta:
        default_permissions = ("view",)
        indexes = [
            # The list in the admin, newest first.
            models.Index(fields=["time", "id"], name="access_record_by_time"),
            # Who looked at a user's data; and the erasure of a user, which blanks the id.
            models.Index(fields=["user_id", "id"], name="access_record_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.by} at {self.time:%Y-%m-%d %H:%M} UTC"

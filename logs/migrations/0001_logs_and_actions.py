import django.db.models.deletion
import django.db.models.functions.text
import django.db.models.lookups
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

import logs.lib.fields


def add_foreign_key(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give PostgreSQL the foreign key that a ForeignObject does not make; SQLite can't add one to a table."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE logs_action ADD CONSTRAINT action_belongs_to_log"
            " FOREIGN KEY (user_id, log_id) REFERENCES logs_log (user_id, id)"
        )


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="StaleDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="ImportedChunk",
            fields=[
                ("end", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("start", models.CharField(db_index=True, max_length=64)),
                ("log_count", models.PositiveBigIntegerField(help_text="Logs read, the rejected ones included.")),
                ("rejected_count", models.PositiveBigIntegerField()),
                ("action_count", models.PositiveBigIntegerField(help_text="Actions stored.")),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="RolledUpDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.CharField(help_text="Whose key it is: two callers' keys never meet.", max_length=64)),
                ("key", models.CharField(max_length=255)),
                (
                    "body_digest",
                    models.CharField(help_text="SHA-256 of the decompressed body, in hexadecimal.", max_length=64),
                ),
                ("action_count", models.PositiveIntegerField()),
                ("created", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("owner", "key"), name="idempotency_key_of_owner")],
            },
        ),
        migrations.CreateModel(
            name="Log",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_id", models.CharField(max_length=255, verbose_name="user")),
                ("session_id", models.CharField(max_length=255, verbose_name="session")),
                (
                    "version",
                    models.PositiveBigIntegerField(
                        default=1, help_text="Rises with every change to the log or its actions."
                    ),
                ),
                ("first_time", models.DateTimeField(verbose_name="first action")),
                ("last_time", models.DateTimeField(verbose_name="last action")),
                ("click_count", models.PositiveBigIntegerField(default=0, verbose_name="clicks")),
                ("view_count", models.PositiveBigIntegerField(default=0, verbose_name="views")),
                ("navigate_count", models.PositiveBigIntegerField(default=0, verbose_name="navigations")),
            ],
            options={
                "permissions": [("erase_user", "Can erase everything stored about a user")],
                "indexes": [
                    models.Index(fields=["first_time", "id"], name="log_by_first_time"),
                    models.Index(
                        fields=["user_id", "id"],
                        name="log_by_user_prefix",
                        opclasses=["varchar_pattern_ops", "int8_ops"],
                    ),
                    models.Index(
                        fields=["session_id"], name="log_by_session_prefix", opclasses=["varchar_pattern_ops"]
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user_id", "session_id"), name="log_is_one_session_of_a_user"),
                    models.UniqueConstraint(fields=("user_id", "id"), name="log_by_user"),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.IntegerGreaterThanOrEqual(
                                django.db.models.functions.text.Length("user_id"), 1
                            ),
                            django.db.models.lookups.IntegerLessThanOrEqual(
                                django.db.models.functions.text.Length("user_id"), 255
                            ),
                        ),
                        name="log_user_id_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.IntegerGreaterThanOrEqual(
                                django.db.models.functions.text.Length("session_id"), 1
                            ),
                            django.db.models.lookups.IntegerLessThanOrEqual(
                                django.db.models.functions.text.Length("session_id"), 255
                            ),
                        ),
                        name="log_session_id_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("first_time__lte", models.F("last_time"))), name="log_times_in_order"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("ACTIVITY", "Activity"),
                            ("CLICKS", "Clicks"),
                            ("VIEWS", "Views"),
                            ("FLOW", "Flow"),
                            ("USERS", "Users"),
                        ],
                        max_length=8,
                    ),
                ),
                ("label", models.TextField()),
                ("other", models.TextField()),
                ("x", models.BigIntegerField()),
                ("y", models.BigIntegerField()),
                ("count", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["kind", "day"], name="rollup_by_kind_and_day")],
            },
        ),
        migrations.CreateModel(
            name="Action",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_id", models.CharField(max_length=255, verbose_name="user")),
                ("log_id", models.BigIntegerField()),
                ("time", models.DateTimeField()),
                (
                    "type",
                    models.CharField(
                        choices=[("CLICK", "Click"), ("VIEW", "View"), ("NAVIGATE", "Navigate")], max_length=8
                    ),
                ),
                ("properties", logs.lib.fields.JSONTextField()),
                (
                    "log",
                    models.ForeignObject(
                        from_fields=["user_id", "log_id"],
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="actions",
                        to="logs.log",
                        to_fields=["user_id", "id"],
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["user_id", "log_id", "time", "id"], name="action_by_user"),
                    models.Index(fields=["time"], name="action_by_time"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("type__in", ["CLICK", "VIEW", "NAVIGATE"])), name="action_type_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("type", "CLICK"), _negated=True),
                            models.Q(
                                django.db.models.lookups.In(
                                    logs.lib.fields.JSONMemberType("properties", models.Value("locationX")),
                                    ("number", "integer", "real"),
                                ),
                                django.db.models.lookups.In(
                                    logs.lib.fields.JSONMemberType("properties", models.Value("locationY")),
                                    ("number", "integer", "real"),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="action_click_has_its_properties",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("type", "VIEW"), _negated=True),
                            django.db.models.lookups.In(
                                logs.lib.fields.JSONMemberType("properties", models.Value("viewedId")),
                                ("string", "text"),
                            ),
                            _connector="OR",
                        ),
                        name="action_view_has_its_properties",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("type", "NAVIGATE"), _negated=True),
                            models.Q(
                                django.db.models.lookups.In(
                                    logs.lib.fields.JSONMemberType("properties", models.Value("pageFrom")),
                                    ("string", "text"),
                                ),
                                django.db.models.lookups.In(
                                    logs.lib.fields.JSONMemberType("properties", models.Value("pageTo")),
                                    ("string", "text"),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="action_navigate_has_its_properties",
                    ),
                ],
            },
        ),
        migrations.RunPython(add_foreign_key, migrations.RunPython.noop),
    ]

from __future__ import annotations

from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Nobody knows when what is there was received. A default that comes with the column would say: now.
_FORWARD = {
    "postgresql": [
        "ALTER TABLE logs_action ADD COLUMN received_at timestamp with time zone",
        "ALTER TABLE logs_action ALTER COLUMN received_at SET DEFAULT statement_timestamp()",
    ],
    # To add such a default SQLite would have to copy the table.
    "sqlite": ["ALTER TABLE logs_action ADD COLUMN received_at datetime NULL"],
}


def add_column(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in _FORWARD[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop_column(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("ALTER TABLE logs_action DROP COLUMN received_at")


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0002_erasures_and_access_records"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_column, drop_column)],
            state_operations=[
                migrations.AddField(
                    model_name="action",
                    name="received_at",
                    field=models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        null=True,
                        verbose_name="received",
                    ),
                ),
            ],
        ),
    ]

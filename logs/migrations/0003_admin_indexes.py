from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class AddIndexWithoutWaiting(AddIndexConcurrently):
    """An index made while others write on PostgreSQL, and a plain one on SQLite, which has no other kind."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        plain_or_concurrent = super() if schema_editor.connection.vendor == "postgresql" else _plain(self)
        plain_or_concurrent.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        plain_or_concurrent = super() if schema_editor.connection.vendor == "postgresql" else _plain(self)
        plain_or_concurrent.database_backwards(app_label, schema_editor, from_state, to_state)


def _plain(operation):
    return migrations.AddIndex(operation.model_name, operation.index)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("logs", "0002_insights")]

    operations = [
        AddIndexWithoutWaiting("log", models.Index(fields=["first_time", "id"], name="log_by_first_time")),
        AddIndexWithoutWaiting(
            "log",
            models.Index(fields=["user_id"], name="log_by_user_prefix", opclasses=["varchar_pattern_ops"]),
        ),
        AddIndexWithoutWaiting(
            "log",
            models.Index(fields=["session_id"], name="log_by_session_prefix", opclasses=["varchar_pattern_ops"]),
        ),
    ]

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def make_file_shrinkable(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have SQLite keep what it needs to give pages of the file back; a file that has tables learns it by a VACUUM."""
    if schema_editor.connection.vendor == "sqlite":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
            cursor.execute("VACUUM")


class Migration(migrations.Migration):
    # VACUUM is a transaction of its own.
    atomic = False

    dependencies = [
        ("logs", "0005_maintenance"),
    ]

    operations = [
        migrations.RunPython(make_file_shrinkable, migrations.RunPython.noop),
    ]

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def forget_rollups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have each day rolled up again, by the nightly work or when Insights needs it: more clicks have a page now."""
    apps.get_model("logs", "RolledUpDay").objects.all().delete()
    apps.get_model("logs", "Rollup").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0006_incremental_vacuum"),
    ]

    operations = [
        migrations.RunPython(forget_rollups, migrations.RunPython.noop),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0001_logs_and_actions")]

    operations = [
        migrations.CreateModel(
            name="ChangedDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="TalliedDay",
            fields=[("day", models.DateField(primary_key=True, serialize=False))],
        ),
        migrations.CreateModel(
            name="Tally",
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
            options={"indexes": [models.Index(fields=["kind", "day"], name="tally_by_kind_and_day")]},
        ),
        migrations.AlterModelOptions(
            name="log",
            options={"permissions": [("erase_user", "Can erase everything stored about a user")]},
        ),
    ]

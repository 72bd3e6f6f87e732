from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0001_logs_and_actions"),
    ]

    operations = [
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
    ]

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="Who or what the key is for.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f]+\\Z", "A name must not hold control characters."
                            )
                        ],
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[("ingest", "ingest: POST only"), ("read", "read: GET only"), ("both", "both")],
                        max_length=6,
                    ),
                ),
                (
                    "prefix",
                    models.CharField(
                        help_text="The start of the key, which tells it from others.", max_length=15, unique=True
                    ),
                ),
                ("digest", models.CharField(help_text="SHA-256 of the whole key, in hexadecimal.", max_length=64)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("last_used", models.DateTimeField(blank=True, help_text="Within a minute.", null=True)),
                ("expires", models.DateTimeField(blank=True, help_text="Empty: never.", null=True)),
                ("revoked", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "API key",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["ingest", "read", "both"])), name="api_key_scope_is_known"
                    )
                ],
            },
        ),
    ]

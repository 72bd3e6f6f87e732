from __future__ import annotations

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "logs.access"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from logs.access import checks  # noqa: F401  registers them

from __future__ import annotations

from django.apps import AppConfig


class LogsConfig(AppConfig):
    name = "logs"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Logs"

    def ready(self) -> None:
        from logs.lib import checks  # noqa: F401  registers them
        from logs.store import checks as store_checks  # noqa: F401

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class LogsConfig(AppConfig):
    name = "logs"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Logs"


class LogStoreAdminConfig(AdminConfig):
    default_site = "logs.adminsite.LogStoreAdminSite"

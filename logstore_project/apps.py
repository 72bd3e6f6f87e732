from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class LogStoreAdminConfig(AdminConfig):
    """Django's admin, with the store's own site."""

    default_site = "logstore_project.admin.LogStoreAdminSite"

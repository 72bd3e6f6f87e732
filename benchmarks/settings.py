"""The store's own settings with the stock build beside it, in a database that the benchmark makes and drops."""

from __future__ import annotations

from logstore_project.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.stock"]  # noqa: F405
ROOT_URLCONF = "benchmarks.urls"
LOGSTORE_AUTH = "open"
DATABASES["default"]["NAME"] = "logstore_benchmark"  # noqa: F405

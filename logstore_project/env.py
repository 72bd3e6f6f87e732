"""The one helper through which every setting comes from the environment, or from `.env` beside manage.py."""

from __future__ import annotations

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
# What the environment says wins over the file.
env.read_env(BASE_DIR / ".env")


def log_format() -> str:
    """Return LOGSTORE_LOG_FORMAT; gunicorn writes lines before there are settings."""
    name = env.str("LOGSTORE_LOG_FORMAT", default="console")
    if name not in ("console", "json"):
        raise ImproperlyConfigured("LOGSTORE_LOG_FORMAT must be console or json.")
    return name

"""Read settings from the environment, or from `.env` beside manage.py."""

from __future__ import annotations

import re
from pathlib import Path

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
# What the environment says wins over the file.
env.read_env(BASE_DIR / ".env")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_match_rate = re.compile(r"([1-9][0-9]{0,8})/([smhd])").fullmatch


def log_format() -> str:
    """Return LOGSTORE_LOG_FORMAT; gunicorn writes lines before there are settings."""
    name: str = env.str("LOGSTORE_LOG_FORMAT", default="console")
    if name not in ("console", "json"):
        raise ImproperlyConfigured("LOGSTORE_LOG_FORMAT must be console or json.")
    return name


def rate(name: str, default: str = "") -> tuple[int, int] | None:
    """Return how many times in how many seconds a setting such as `100/m` allows; None for an empty one: no limit.

    name: the setting; its text is a number, a slash and s, m, h or d.
    Raises ImproperlyConfigured for any other text.
    """
    text = env.str(name, default=default)
    if not text:
        return None
    match = _match_rate(text)
    if match is None:
        raise ImproperlyConfigured(f"{name}: a rate is a number, a slash and s, m, h or d: 100/m.")
    return int(match[1]), _SECONDS[match[2]]

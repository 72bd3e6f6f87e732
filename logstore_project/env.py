"""What the environment, or `.env` beside manage.py, says: every setting with its default and what it may be.

`.env.example` explains them. All that are wrong are named at once, by an ImproperlyConfigured with a line for each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvValidationError, ValidationError

from logs.lib.durations import UNITS, parse_duration

BASE_DIR = Path(__file__).resolve().parent.parent

_env = Env(eager=False)
# What the environment says wins over the file.
_env.read_env(BASE_DIR / ".env", recurse=False)

_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_match_rate = re.compile(r"([1-9][0-9]{0,8})/([smhd])").fullmatch


def parse_rate(text: str) -> tuple[int, int] | None:
    """Return how many times in how many seconds a text such as `100/m` allows; None for an empty one: no limit.

    Raises ValidationError for any other text.
    """
    if not text:
        return None
    match = _match_rate(text)
    if match is None:
        raise ValidationError("must be a number, a slash and s, m, h or d, such as 100/m, or empty for no limit")
    return int(match[1]), int(UNITS[match[2]].total_seconds())


def _parse_seconds(text: str, low: str, high: str) -> float:
    try:
        duration = parse_duration(text if text[-1:].isalpha() else f"{text}s")
    except ValueError:
        duration = None
    if duration is None or not parse_duration(low) <= duration <= parse_duration(high):
        raise ValidationError(f"must be a duration such as 30s, 5m or 1h, or a number of seconds, from {low} to {high}")
    return duration.total_seconds()


def _parse_age(text: str) -> timedelta | None:
    if not text:
        return None
    try:
        age = parse_duration(text)
    except ValueError:
        age = timedelta(0)
    if not age:
        raise ValidationError("must be an age such as 12h, 90d or 4w, or empty to keep everything")
    return age


def _parse_count(text: str) -> int | None:
    return _parse_whole(text, 1, 100_000) if text else None


def _parse_hosts(text: str) -> list[str]:
    hosts = _parts(text)
    if not all(map(re.compile(r"\*|\.?[\w.-]+|\[[0-9A-Fa-f:.]+\]").fullmatch, hosts)):
        raise ValidationError("must be names of hosts such as logs.example.com, comma-separated, without port")
    return hosts


def _parse_origins(text: str) -> list[str]:
    origins = _parts(text)
    if not all(map(re.compile(r"\*|https?://[^/?#\s]+").fullmatch, origins)):
        raise ValidationError("must be origins such as https://shop.example.com, comma-separated, or *")
    return origins


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]


def _parse_redis(text: str) -> str:
    if text and not re.match(r"(rediss?|unix)://.", text):
        raise ValidationError("must be a URL such as redis://localhost:6379/0, or empty")
    return text


def _parse_database(text: str) -> dict[str, Any]:
    text = text or f"sqlite:///{BASE_DIR / 'logstore.sqlite3'}"
    url = urlsplit(text)
    if url.scheme == "sqlite":
        # Four slashes for a path from the root. Anything between two and the third would be a host.
        file = Path(unquote(url.path[1:]))
        if url.netloc or not file.name or file.name == ":memory:":
            raise ValidationError(
                "must name a file after three slashes: sqlite:///logs.sqlite3, sqlite:////srv/l.sqlite3"
            )
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise ValidationError(f"the folder {file.parent} is not there, or may not be written to")
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise ValidationError(f"the file {file} may not be read and written")
    elif url.scheme not in ("postgres", "postgresql") or not url.path.strip("/"):
        raise ValidationError(
            "must be a URL such as postgres://user:password@localhost:5432/logstore or sqlite:///logs.sqlite3"
        )
    try:
        return dict(dj_database_url.parse(text, conn_max_age=600, conn_health_checks=True))
    except ValueError as error:
        raise ValidationError(f"can't be read: {str(error).rstrip('.')}") from None


def _parse_replicas(text: str) -> list[dict[str, Any]]:
    replicas = [_parse_database(url) for url in _parts(text)]
    if any(replica["ENGINE"] == "django.db.backends.sqlite3" for replica in replicas):
        raise ValidationError("must be URLs of PostgreSQL servers, comma-separated")
    return replicas


def _parse_secret(text: str) -> str:
    # One of this folder's own, which `make setup` makes.
    local = BASE_DIR / ".secret_key"
    if not text and os.access(local, os.R_OK):
        text = local.read_text().strip()
    if not text:
        raise ValidationError(
            "must be a long random string, in the environment or in .env; for a store on this machine alone"
            " `make setup` makes one"
        )
    return text


def _parse_whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise ValidationError(f"must be a whole number from {low:,} to {high:,}")
    return int(text)


def _parse_flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValidationError("must be true or false")
    return _FLAGS[text.lower()]


def _parse_choice(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise ValidationError(f"must be {' or '.join(choices)}")
    return text


_PARSERS: dict[str, Callable[..., Any]] = {
    "age": _parse_age,
    "choice": _parse_choice,
    "count": _parse_count,
    "database": _parse_database,
    "flag": _parse_flag,
    "hosts": _parse_hosts,
    "origins": _parse_origins,
    "rate": parse_rate,
    "replicas": _parse_replicas,
    "redis": _parse_redis,
    "seconds": _parse_seconds,
    "secret": _parse_secret,
    "secrets": _parts,
    "whole": _parse_whole,
}
for _name, _parser in _PARSERS.items():
    _env.add_parser(_name, _parser)


# --- Start -----------------------------------------------------------------------------------------------------------

SECRET_KEY: str = _env.secret("SECRET_KEY", "")
SECRET_KEY_FALLBACKS: list[str] = _env.secrets("SECRET_KEY_FALLBACKS", "")
DEBUG: bool = _env.flag("DEBUG", "false")
ALLOWED_HOSTS: list[str] = _env.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
PORT: int = _env.whole("PORT", "8000", low=1, high=65_535)
# What is best depends on the database.
WEB_CONCURRENCY: int = _env.whole("WEB_CONCURRENCY", "0", low=0, high=1_000)
WEB_THREADS: int = _env.whole("WEB_THREADS", "8", low=1, high=1_000)

# --- Database --------------------------------------------------------------------------------------------------------

DATABASE: dict[str, Any] = _env.database("DATABASE_URL", "")
DATABASE_REPLICAS: list[dict[str, Any]] = _env.replicas("DATABASE_REPLICA_URLS", "")
REPLICA_MAX_LAG: float = _env.seconds("LOGSTORE_REPLICA_MAX_LAG", "5s", low="1s", high="1d")
# 0 is no limit.
STATEMENT_TIMEOUT: float = _env.seconds("LOGSTORE_STATEMENT_TIMEOUT", "30s", low="0s", high="1d")
LOCK_TIMEOUT: float = _env.seconds("LOGSTORE_LOCK_TIMEOUT", "10s", low="0s", high="1d")
IDLE_TRANSACTION_TIMEOUT: float = _env.seconds("LOGSTORE_IDLE_TRANSACTION_TIMEOUT", "30s", low="0s", high="1d")
SQLITE_TIMEOUT: float = _env.seconds("LOGSTORE_SQLITE_TIMEOUT", "20s", low="0s", high="1d")

# --- The API ---------------------------------------------------------------------------------------------------------

AUTH: str = _env.choice("LOGSTORE_AUTH", "keys", choices=("keys", "open"))
ANY_OFFSET: bool = _env.flag("LOGSTORE_ANY_OFFSET", "false")
MAX_BODY_BYTES: int = _env.whole("LOGSTORE_MAX_BODY_BYTES", "20971520", low=1, high=2**30)
CLIENT_TIMEOUT: float = _env.seconds("LOGSTORE_CLIENT_TIMEOUT", "30s", low="0.1s", high="1d")
RATE_INGEST: tuple[int, int] | None = _env.rate("LOGSTORE_RATE_INGEST", "")
RATE_READ: tuple[int, int] | None = _env.rate("LOGSTORE_RATE_READ", "")
RATE_LOGIN: tuple[int, int] | None = _env.rate("LOGSTORE_RATE_LOGIN", "10/m")
REDIS_URL: str = _env.redis("REDIS_URL", "")
CORS_ORIGINS: list[str] = _env.origins("LOGSTORE_CORS_ORIGINS", "")

# --- Every night -----------------------------------------------------------------------------------------------------

RETENTION: timedelta | None = _env.age("LOGSTORE_RETENTION", "")
BACKUP_DIR: str = _env.str("LOGSTORE_BACKUP_DIR", "")
BACKUP_DAYS: int | None = _env.count("LOGSTORE_BACKUP_DAYS", "")

# --- Behind a reverse proxy ------------------------------------------------------------------------------------------

BEHIND_PROXY: bool = _env.flag("LOGSTORE_BEHIND_PROXY", "false")
HSTS_SECONDS: int = _env.whole("LOGSTORE_HSTS_SECONDS", "31536000", low=0, high=2**31 - 1)
HSTS_SUBDOMAINS: bool = _env.flag("LOGSTORE_HSTS_SUBDOMAINS", "true")

# --- Log lines and metrics -------------------------------------------------------------------------------------------

LOG_FORMAT: str = _env.choice("LOGSTORE_LOG_FORMAT", "console", choices=("console", "json"))
METRICS_FOLDER = _env.str("PROMETHEUS_MULTIPROC_DIR", "")

try:
    _env.seal()
except EnvValidationError as _error:
    _messages = cast(Mapping[str, list[str]], _error.error_messages)
    raise ImproperlyConfigured("\n".join(f"{name}: {messages[0]}." for name, messages in _messages.items())) from None
if DATABASE_REPLICAS and DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    raise ImproperlyConfigured("DATABASE_REPLICA_URLS: SQLite has no replicas; DATABASE_URL must name PostgreSQL.")

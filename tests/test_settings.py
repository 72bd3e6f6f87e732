"""What a start takes from the environment and `.env`, and what it refuses."""

from __future__ import annotations

import os
import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.server import PROJECT

EXAMPLE = PROJECT / ".env.example"
NAMES = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Read settings of an environment with nothing but the given ones, in a folder of their own."""
    folder = tmp_path / "store"
    (folder / "logstore_project").mkdir(parents=True)
    shutil.copy(PROJECT / "logstore_project" / "env.py", folder / "logstore_project")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)

    def run(dotenv="", secret="a secret", **environ):
        (folder / ".env").write_text(dotenv)
        (folder / ".secret_key").write_text(secret)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return SimpleNamespace(**runpy.run_path(str(folder / "logstore_project" / "env.py")))

    return run


def sentences(read, **environ):
    with pytest.raises(ImproperlyConfigured) as refused:
        read(**environ)
    return str(refused.value).splitlines()


def values(settings):
    return {name: value for name, value in vars(settings).items() if name.isupper() and not name.startswith("_")}


DURATION = "must be a duration such as 30s, 5m or 1h, or a number of seconds, from"


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("SECRET_KEY", "", "long random string"),
        ("DEBUG", "maybe", "true or false"),
        ("DEBUG", "", "true or false"),
        ("LOGSTORE_ANY_OFFSET", "2", "true or false"),
        ("ALLOWED_HOSTS", "https://logs.example.com", "names of hosts"),
        ("ALLOWED_HOSTS", "logs.example.com:8000", "names of hosts"),
        ("PORT", "abc", "whole number from 1 to 65,535"),
        ("PORT", "0", "whole number"),
        ("PORT", "65536", "whole number"),
        ("WEB_CONCURRENCY", "-1", "whole number"),
        ("WEB_THREADS", "1e3", "whole number"),
        ("WEB_THREADS", "0", "whole number"),
        ("LOGSTORE_MAX_BODY_BYTES", "20MB", "whole number"),
        ("LOGSTORE_HSTS_SECONDS", "1y", "whole number"),
        ("LOGSTORE_CLIENT_TIMEOUT", "1x", f"{DURATION} 0.1s to 1d"),
        ("LOGSTORE_CLIENT_TIMEOUT", "0", DURATION),
        ("LOGSTORE_CLIENT_TIMEOUT", "1e3", DURATION),
        ("LOGSTORE_CLIENT_TIMEOUT", "", DURATION),
        ("LOGSTORE_STATEMENT_TIMEOUT", "-5", f"{DURATION} 0s to 1d"),
        ("LOGSTORE_LOCK_TIMEOUT", "inf", DURATION),
        ("LOGSTORE_IDLE_TRANSACTION_TIMEOUT", "nan", DURATION),
        ("LOGSTORE_SQLITE_TIMEOUT", "999999999w", DURATION),
        ("LOGSTORE_SQLITE_TIMEOUT", "2d", DURATION),
        ("LOGSTORE_AUTH", "no", "keys or open"),
        ("LOGSTORE_LOG_FORMAT", "xml", "console or json"),
        ("LOGSTORE_CORS_ORIGINS", "shop.example.com", "origins"),
        ("LOGSTORE_CORS_ORIGINS", "https://shop.example.com/", "origins"),
        ("REDIS_URL", "foo", "redis://"),
        ("DATABASE_URL", "foo", "postgres://"),
        ("DATABASE_URL", "mysql://me@localhost/logstore", "postgres://"),
        ("DATABASE_URL", "postgres://me@localhost", "postgres://"),
        ("DATABASE_URL", "postgres://localhost:port/logstore", "can't be read"),
        ("DATABASE_REPLICA_URLS", "foo", "postgres://"),
        ("DATABASE_REPLICA_URLS", "sqlite:///logs.sqlite3", "PostgreSQL"),
        ("DATABASE_REPLICA_URLS", "postgres://one/logs,postgres://two", "postgres://"),
        ("DATABASE_REPLICA_URLS", "postgres://one/logs", "SQLite has no replicas"),
        ("LOGSTORE_REPLICA_MAX_LAG", "0s", DURATION),
        ("LOGSTORE_RETENTION", "0d", "90d"),
        ("LOGSTORE_RETENTION", "90", "90d"),
        ("LOGSTORE_BACKUP_DAYS", "0", "1 to 100,000"),
        ("DATABASE_URL", "sqlite://relative.db", "three slashes"),
        ("DATABASE_URL", "sqlite://", "three slashes"),
        ("DATABASE_URL", "sqlite:///:memory:", "three slashes"),
        ("DATABASE_URL", "sqlite:////nowhere/at/all.sqlite3", "the folder /nowhere/at is not there"),
        *(
            ("LOGSTORE_RATE_READ", rate, "100/m")
            for rate in ["10", "0/m", "-1/m", "10/y", "ten/m", "10/m ", "1/m, 5/h"]
        ),
    ],
)  # fmt: skip
def test_a_value_that_a_setting_can_not_take_is_refused_in_a_sentence(read, name, value, said):
    changes = {name: value, **({"secret": ""} if name == "SECRET_KEY" else {})}
    (sentence,) = sentences(read, **changes)
    assert sentence.startswith(f"{name}: ")
    assert sentence.endswith(".")
    assert said in sentence


def test_all_values_that_are_wrong_are_named_at_once(read):
    wrong = {"DEBUG": "maybe", "PORT": "http", "LOGSTORE_AUTH": "no", "DATABASE_URL": "foo"}
    assert {sentence.partition(":")[0] for sentence in sentences(read, **wrong)} == wrong.keys()


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_what_may_hold_a_password_is_not_quoted(read, name):
    assert "hunter2" not in sentences(read, **{name: "mysql://me:hunter2@localhost/x"})[0]


@pytest.mark.parametrize(
    "text, seconds",
    [("30", 30), ("0.2", 0.2), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("1h", 3600), ("1d", 86400)],
)
def test_a_duration_is_a_number_with_a_unit_or_of_seconds(read, text, seconds):
    assert seconds == read(LOGSTORE_CLIENT_TIMEOUT=text).CLIENT_TIMEOUT


@pytest.mark.parametrize(
    "text, rate",
    [("", None), ("7/s", (7, 1)), ("100/m", (100, 60)), ("5/h", (5, 3600)), ("1/d", (1, 86400))],
    ids=["no limit", "second", "minute", "hour", "day"],
)
def test_a_rate_is_how_many_times_in_how_many_seconds(read, text, rate):
    assert rate == read(LOGSTORE_RATE_LOGIN=text).RATE_LOGIN


@pytest.mark.parametrize("text, value", [("true", True), ("ON", True), ("1", True), ("no", False), ("0", False)])
def test_a_switch_is_spelled_in_several_ways(read, text, value):
    assert read(DEBUG=text).DEBUG is value


def test_lists_are_separated_by_commas(read):
    settings = read(
        ALLOWED_HOSTS="logs.example.com, .example.org,[::1],*",
        LOGSTORE_CORS_ORIGINS="https://shop.example.com,http://localhost:3000",
    )
    assert settings.ALLOWED_HOSTS == ["logs.example.com", ".example.org", "[::1]", "*"]
    assert settings.CORS_ORIGINS == ["https://shop.example.com", "http://localhost:3000"]


@pytest.mark.parametrize(
    "url, engine, name",
    [
        ("postgres://me:p%40ss@localhost:5432/logs", "postgresql", "logs"),
        ("postgresql:///logs?host=/run/postgresql", "postgresql", "logs"),
        ("sqlite:///logs.sqlite3", "sqlite3", "logs.sqlite3"),
        ("sqlite:////tmp/logs.sqlite3", "sqlite3", "/tmp/logs.sqlite3"),
    ],
)
def test_a_database_is_named_by_a_url(read, url, engine, name):
    database = read(DATABASE_URL=url).DATABASE
    assert database["ENGINE"].endswith(f".{engine}")
    assert database["NAME"] == name


def test_without_a_url_the_database_is_a_file_beside_the_project(read):
    settings = read()
    assert Path(settings.DATABASE["NAME"]) == settings.BASE_DIR / "logstore.sqlite3"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_can_not_be_written_to_is_refused(read, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert str(folder) in sentences(read, DATABASE_URL=f"sqlite:///{folder}/logs.sqlite3")[0]


def test_the_environment_wins_over_the_file(read):
    settings = read(dotenv="PORT=1\nWEB_THREADS=3\n", PORT="2")
    assert (settings.PORT, settings.WEB_THREADS) == (2, 3)


def test_the_secret_is_the_environments_or_the_files_or_the_folders_own(read):
    assert read(secret="of the folder\n").SECRET_KEY == "of the folder"
    assert read(dotenv="SECRET_KEY=of the file").SECRET_KEY == "of the file"
    assert read(dotenv="SECRET_KEY=of the file", SECRET_KEY="of the environment").SECRET_KEY == "of the environment"


def test_the_example_names_every_setting(read):
    assert set(NAMES) == read()._env._fields.keys()


def test_the_example_copied_changes_nothing(read):
    plain, copied = values(read()), values(read(dotenv=EXAMPLE.read_text()))
    assert copied == plain


def test_the_example_shows_the_defaults(read):
    shown = re.findall(r"^([A-Z_]+)=.+", EXAMPLE.read_text(), re.MULTILINE)
    assert {"DEBUG", "PORT", "LOGSTORE_CLIENT_TIMEOUT", "LOGSTORE_RATE_LOGIN"} <= set(shown)
    # What it comments out is what no start should take from it.
    assert {"SECRET_KEY", "LOGSTORE_AUTH", "WEB_CONCURRENCY", "PROMETHEUS_MULTIPROC_DIR"} == set(NAMES) - set(
        re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    )

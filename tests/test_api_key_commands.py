"""Making, listing and revoking API keys at the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from logs.access import keys
from logs.access.models import ApiKey
from tests.builders import a_key

pytestmark = pytest.mark.django_db


def test_a_new_key_is_the_last_line_of_stdout_alone(capsys):
    call_command("createapikey", "Web shop", "--scope", "ingest")
    text = capsys.readouterr().out.splitlines()[-1]
    key = keys.find(text)
    assert (key.name, key.scope, key.expires) == ("Web shop", "ingest", None)


@pytest.mark.parametrize(
    "expires, lives",
    [("12h", timedelta(hours=12)), ("90d", timedelta(days=90)), ("2w", timedelta(weeks=2))],
    ids=["hours", "days", "weeks"],
)
def test_a_key_lives_as_long_as_it_was_made_for(expires, lives):
    before = timezone.now()
    call_command("createapikey", "x", "--scope", "read", "--expires", expires)
    assert before + lives <= ApiKey.objects.get().expires <= timezone.now() + lives


@pytest.mark.parametrize(
    "arguments",
    [
        ["x"],
        ["x", "--scope", "write"],
        ["x", "--scope", "read", "--expires", "soon"],
        ["x", "--scope", "read", "--expires", "0d"],
        ["x", "--scope", "read", "--expires", "9999999w"],
        ["", "--scope", "read"],
        ["two\nlines", "--scope", "read"],
        ["x" * 101, "--scope", "read"],
    ],
    ids=[
        "no scope",
        "unknown scope",
        "no duration",
        "no time at all",
        "past the last year",
        "no name",
        "control character",
        "long name",
    ],
)
def test_a_key_that_can_not_be_is_not_made(arguments):
    with pytest.raises(CommandError):
        call_command("createapikey", *arguments)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("by", ["prefix", "name"])
def test_a_revoked_key_is_refused_from_then_on(by):
    key, text = a_key()
    call_command("revokeapikey", getattr(key, by))
    assert keys.find(text) is None
    assert ApiKey.objects.get().revoked is not None


def test_no_key_is_revoked_by_a_name_that_several_have():
    first, _ = a_key()
    second, _ = a_key()
    with pytest.raises(CommandError, match=f"{first.prefix} {second.prefix}"):
        call_command("revokeapikey", "a tracker")
    assert not ApiKey.objects.exclude(revoked=None).exists()


def test_a_name_means_the_one_key_that_is_not_revoked():
    a_key(revoked=timezone.now())
    key, _ = a_key()
    call_command("revokeapikey", "a tracker")
    key.refresh_from_db()
    assert key.revoked is not None


def test_revoking_what_is_not_there_or_revoked_already_is_an_error():
    key, _ = a_key(revoked=timezone.now())
    with pytest.raises(CommandError, match="no API key"):
        call_command("revokeapikey", "nobody")
    with pytest.raises(CommandError, match="already"):
        call_command("revokeapikey", key.prefix)


def test_the_list_says_everything_but_the_key(capsys):
    key, text = a_key("read")
    call_command("listapikeys")
    head, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    said = dict(zip(head, row, strict=True))
    assert (said["prefix"], said["scope"], said["name"]) == (key.prefix, "read", "a tracker")
    assert (said["last_used"], said["expires"], said["revoked"]) == ("-", "-", "-")
    assert said["created"] == key.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert text[16:] not in "".join(row)


# --- No key yet ------------------------------------------------------------------------------------------------------


def warnings():
    return [message.id for message in run_checks() if message.id.startswith("access.")]


def test_a_store_that_asks_for_keys_and_has_none_is_warned_of(settings):
    settings.LOGSTORE_AUTH = "keys"
    assert warnings() == ["access.W001"]
    a_key()
    assert warnings() == []


@pytest.mark.parametrize("setting", [{"LOGSTORE_AUTH": "open"}, {"DEBUG": True}], ids=["open", "debug"])
def test_a_store_that_needs_no_key_is_not_warned_of(settings, setting):
    for name, value in {"LOGSTORE_AUTH": "keys", **setting}.items():
        setattr(settings, name, value)
    assert warnings() == []


def test_a_database_without_tables_has_no_key(settings):
    settings.LOGSTORE_AUTH = "keys"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE access_apikey RENAME TO elsewhere")
    assert warnings() == ["access.W001"]

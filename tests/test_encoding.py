"""A database that can't hold every text is refused before it holds any."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg2
import pytest
from django.core.checks import run_checks
from django.db import connection

from tests.commandline import CommandLine
from tests.server import database_url

pytestmark = pytest.mark.django_db(transaction=True)

OF_POSTGRESQL, OF_SQLITE = ["SQL_ASCII", "LATIN1"], ["UTF-16le"]


@pytest.fixture(params=OF_POSTGRESQL + OF_SQLITE)
def narrow_database(request, tmp_path):
    """The command line beside an empty database of an encoding, and the encoding's name."""
    encoding = request.param
    if (encoding in OF_SQLITE) is not (connection.vendor == "sqlite"):
        pytest.skip("an encoding of the other database")
    if encoding in OF_SQLITE:
        file = tmp_path / "store.sqlite3"
        with closing(sqlite3.connect(file)) as database:
            database.executescript(f"PRAGMA encoding = '{encoding}'; CREATE TABLE other (id)")
        yield CommandLine(f"sqlite:///{file}"), encoding
        return
    name = f"{connection.settings_dict['NAME']}_{encoding.lower()}"
    with closing(psycopg2.connect(database_url("postgres"))) as server, server.cursor() as cursor:
        server.autocommit = True
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        # Where the server's own collations are ICU's, they would ask for UTF-8.
        libc = "LOCALE_PROVIDER libc" if connection.pg_version >= 150000 else ""
        cursor.execute(
            f"""CREATE DATABASE "{name}" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' {libc}"""
        )
        yield CommandLine(database_url(name)), encoding
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_a_database_that_can_not_hold_every_text_is_refused_in_one_sentence(narrow_database, command):
    manage, encoding = narrow_database
    refused = manage.run(command)
    sentence = f"The database keeps text in {encoding}, which can't hold every log: create it with the encoding UTF8."
    assert refused.returncode == 1
    assert sentence in refused.stderr.decode()
    assert "Traceback" not in refused.stderr.decode()
    assert not [name for name in manage.tables() if name != "other"]


def test_the_database_of_the_tests_is_not_refused():
    assert "logs.E001" not in [message.id for message in run_checks()]

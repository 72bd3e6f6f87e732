"""From a fresh clone to a store that answers: what `make`, manage.py and the server say on the way."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys

import pytest
from django.contrib.auth import authenticate, get_user_model

from logs import __version__
from tests.commandline import new_database
from tests.server import PROJECT, Server, environment, start_command

pytestmark = pytest.mark.django_db

NOT_MIGRATED = "The database lacks migrations: run `python manage.py migrate`."


def manage(*arguments, **environ):
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment(**environ), capture_output=True, text=True)


def serve(**environ):
    """Start a server that can't, and return how it ended."""
    return subprocess.run(start_command(), cwd=PROJECT, env=environment(**environ), capture_output=True, text=True)


@pytest.fixture
def unmigrated_url(tmp_path):
    """A database without a table."""
    with new_database(tmp_path, "unmigrated") as url:
        yield url


# --- make ---


def test_make_alone_says_what_there_is():
    said = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True)
    assert said.returncode == 0
    for target in ("make run", "make test", "make lint", "make setup"):
        assert target in said.stdout


def test_an_old_python_is_refused_before_anything_is_made(tmp_path):
    for file in PROJECT.glob("requirements*"):
        shutil.copy(file, tmp_path)
    shutil.copy(PROJECT / "Makefile", tmp_path)
    old = tmp_path / "python3.9"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c "
        '\'import sys; sys.version_info = (3, 9); sys.version = "3.9.2 (main)"; exec(sys.argv[1])\' "$2"\n'
    )
    old.chmod(0o755)
    said = subprocess.run(["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 2
    assert "The store needs Python 3.11 or newer, and this is 3.9.2." in said.stderr
    assert not (tmp_path / ".venv").exists()


# --- manage.py ---


def test_manage_without_django_says_what_to_activate():
    said = subprocess.run([sys.executable, "-S", "manage.py", "check"], cwd=PROJECT, capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stdout == ""
    assert ". .venv/bin/activate" in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_the_version_is_the_stores(argument):
    assert manage(argument).stdout == f"{__version__}\n"


COMMANDS = [
    ["createsuperuser", "--username", "a", "--email", "a@example.com", "--noinput"],
    ["changepassword", "a"],
    ["createapikey", "Web shop", "--scope", "both"],
    ["listapikeys"],
    ["logstats"],
    ["exportlogs"],
    ["purgelogs", "--older-than", "1d", "--yes"],
    ["prepareinsights"],
    ["welcome"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_on_a_database_without_tables_says_to_migrate(unmigrated_url, command):
    said = manage(*command, DATABASE_URL=unmigrated_url)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].removeprefix("CommandError: ") == NOT_MIGRATED
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    "url", ["postgres://nobody@127.0.0.1:1/logstore", "postgres://127.0.0.1:5432/there-is-no-such-database"]
)
@pytest.mark.parametrize("command", [["migrate"], ["logstats"], COMMANDS[0]], ids=lambda command: command[0])
def test_a_command_without_its_database_says_so_in_a_line(url, command):
    said = manage(*command, DATABASE_URL=url)
    assert said.returncode == 1
    assert "PostgreSQL can't be used: " in said.stderr.splitlines()[-1]
    assert "DATABASE_URL" in said.stderr.splitlines()[-1]
    assert "Traceback" not in said.stderr


def test_a_stack_trace_is_there_for_who_asks():
    said = manage("migrate", "--traceback", DATABASE_URL="postgres://nobody@127.0.0.1:1/logstore")
    assert "Traceback" in said.stderr


def test_a_file_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "photo.sqlite3"
    file.write_bytes(b"GIF89a" * 1000)
    said = manage("migrate", DATABASE_URL=f"sqlite:///{file}")
    assert said.returncode == 1
    assert said.stderr == f"The SQLite file {file} can't be used: file is not a database.\n"


# --- the first start ---


def test_the_first_start_makes_a_user_and_later_ones_say_nothing(command):
    said = command("welcome")
    password = re.search(r"user admin, password (\S+)$", said, re.MULTILINE)[1]
    user = authenticate(username="admin", password=password)
    assert user.is_superuser
    assert "curl http://127.0.0.1:8000/logs/ " in said
    for page in ("http://127.0.0.1:8000/\n", "http://127.0.0.1:8000/docs/", "http://127.0.0.1:8000/admin/"):
        assert page in said
    assert command("welcome") == ""
    assert get_user_model().objects.count() == 1


def test_a_store_with_users_of_its_own_gets_no_other(command, django_user_model):
    django_user_model.objects.create_user("somebody")
    assert command("welcome") == ""
    assert not django_user_model.objects.filter(username="admin").exists()


def test_a_store_that_asks_for_keys_says_how_to_make_one(command, settings):
    settings.LOGSTORE_AUTH, settings.PORT = "keys", 8080
    said = command("welcome")
    assert "createapikey" in said
    assert "curl" not in said
    assert "http://127.0.0.1:8080/admin/" in said


def test_what_the_first_start_says_to_paste_works(command, live_server, settings):
    settings.PORT = live_server.thread.port
    post, get = re.findall(r"^  (curl .*)$", command("welcome"), re.MULTILINE)
    stored = subprocess.run(["sh", "-c", post], capture_output=True, text=True).stdout
    assert stored == '{"success":true,"stored":1,"duplicates":0}'
    assert '"viewedId":"FDJKLHSLD"' in subprocess.run(["sh", "-c", get], capture_output=True, text=True).stdout


# --- the server ---


def test_a_port_that_is_taken_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = serve(PORT=port)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"Nothing can listen on 127.0.0.1:{port}: Address already in use. Take another port: PORT={port + 1}."
    )
    assert "Traceback" not in ended.stderr


def test_a_folder_for_metrics_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    ended = serve(PROMETHEUS_MULTIPROC_DIR=tmp_path / "file")
    assert ended.returncode == 1
    assert ended.stderr.startswith("PROMETHEUS_MULTIPROC_DIR: must be a folder")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("method, url", [("GET", "/logs/"), ("POST", "/logs/"), ("GET", "/readyz"), ("GET", "/admin/")])
def test_a_store_without_tables_says_so_to_its_operator_and_its_clients(unmigrated_url, tmp_path, method, url):
    with Server(tmp_path / "log", DATABASE_URL=unmigrated_url, WEB_CONCURRENCY=1) as server:
        batch = b'[{"userId":"u","sessionId":"s","actions":[{"time":"2018-10-18T21:37:28-06:00","type":"VIEW",'
        body = batch + b'"properties":{"viewedId":"x"}}]}]' if method == "POST" else None
        # A session, so that the admin asks the database who this is.
        answer = server.request(method, url, body, {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"})
    assert answer.refusal == (503, "STORE_UNAVAILABLE")
    assert answer.json()["detail"] == NOT_MIGRATED
    assert NOT_MIGRATED in server.log
    assert "Traceback" not in server.log


def test_a_store_that_is_ready_does_not_warn(tmp_path):
    with Server(tmp_path / "log", WEB_CONCURRENCY=1) as server:
        assert server.request("GET", "/readyz").status == 200
    assert "WARNING" not in server.log

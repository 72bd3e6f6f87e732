"""exportlogs: the API's own bytes in a file, and no file that is not complete."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError

from tests.builders import a_click, a_log, a_navigation, a_view, as_lines, many_logs
from tests.commandline import ROOT

LATE = "2018-10-20T08:00:00-06:00"
LOGS = [
    a_log(a_click(), a_view(LATE), user="first"),
    a_log(a_navigation(page_from='with "quotes", commas\nand lines'), user="sécond"),
]


@pytest.fixture
def stored(db, post):
    assert post(LOGS).status_code == 200
    return LOGS


@pytest.mark.parametrize(
    "options, parameters",
    [
        pytest.param([], {}, id="everything"),
        pytest.param(["--user", "sécond"], {"userId": "sécond"}, id="user"),
        pytest.param(["--from", LATE], {"from": LATE}, id="from"),
        pytest.param(["--to", "2018-10-19T00:00:00-06:00"], {"to": "2018-10-19T00:00:00-06:00"}, id="to"),
        pytest.param(["--types", "CLICK,VIEW"], {"types": "CLICK,VIEW"}, id="types"),
        pytest.param(["--types", "CLICK", "--types", "VIEW"], {"types": ["CLICK", "VIEW"]}, id="types-twice"),
        pytest.param(["--user", "nobody"], {"userId": "nobody"}, id="nothing"),
    ],
)
@pytest.mark.parametrize("form", ["ndjson", "json"])
def test_an_export_is_what_the_api_answers(stored, command, client, options, parameters, form):
    answer = client.get("/logs/", {**parameters, "format": form})
    assert command("exportlogs", "--format", form, *options) == answer.getvalue().decode()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--from", "yesterday"], "from: INVALID_TIME_FORMAT"),
        (["--types", "WRONG"], "types: INVALID_ACTION_TYPE"),
        (["--types", ""], "types: INVALID_PARAMETER"),
        (["--to", ""], "to: INVALID_PARAMETER"),
        (["--user", ""], "must not be empty"),
        (["-o", "no/such/folder/file"], "No such file or directory"),
    ],
)
def test_what_would_answer_something_else_is_refused(stored, command, options, message):
    with pytest.raises(CommandError, match=message):
        command("exportlogs", *options)


def test_csv_has_one_action_a_row(stored, command):
    rows = list(csv.DictReader(io.StringIO(command("exportlogs", "--format", "csv"), newline="")))
    assert [(row["userId"], row["sessionId"], row["time"], row["type"]) for row in rows] == [
        (log["userId"], log["sessionId"], action["time"], action["type"]) for log in LOGS for action in log["actions"]
    ]
    assert [json.loads(row["properties"]) for row in rows] == [
        action["properties"] for log in LOGS for action in log["actions"]
    ]


@pytest.mark.parametrize("name", ["logs.ndjson", "logs.json", "logs.csv", "logs"])
def test_a_name_says_the_format_and_whether_it_is_gzipped(stored, command, tmp_path, name):
    plain, packed = tmp_path / name, tmp_path / f"{name}.gz"
    assert "3 actions" in command("exportlogs", "-o", plain)
    command("exportlogs", "-o", packed)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    form = plain.suffix[1:] or "ndjson"
    assert plain.read_bytes().decode() == command("exportlogs", "--format", form)
    before = packed.read_bytes()
    command("exportlogs", "-o", packed)
    assert packed.read_bytes() == before


def test_an_export_that_fails_leaves_the_file_that_was_there(stored, command, tmp_path, monkeypatch):
    path = tmp_path / "logs.ndjson"
    path.write_text("yesterday's")
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(CommandError, match="No space left"):
        command("exportlogs", "-o", path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("logs.ndjson", "yesterday's")]


def test_a_symbolic_link_and_a_device_stay_what_they_are(stored, command, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    command("exportlogs", "-o", tmp_path / "link")
    command("exportlogs", "-o", os.devnull)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == as_lines(*LOGS)
    assert os.path.exists(os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("name", ["export.ndjson", "export.json.gz"])
def test_export_import_export_gives_the_same_bytes(manage, tmp_path, name):
    manage.succeed("demodata", "--users", 20, "--actions", 3000, "--days", 5, "--end", "2018-10-18")
    manage.succeed("demodata", "--users", 20, "--actions", 500, "--days", 9, "--end", "2018-10-18", "--seed", 2)
    first = manage.export()
    manage.succeed("exportlogs", "-o", tmp_path / name)
    manage.query("DELETE FROM logs_action")
    manage.query("DELETE FROM logs_log")
    assert manage.export() == b""
    manage.succeed("importlogs", tmp_path / name)
    assert manage.export() == first


def test_a_reader_that_goes_away_ends_a_process_quietly(manage, tmp_path):
    (tmp_path / "logs").write_bytes(as_lines(*many_logs(300)))
    manage.succeed("importlogs", tmp_path / "logs")
    with subprocess.Popen(
        [sys.executable, "manage.py", "exportlogs"],
        cwd=ROOT,
        env=manage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == as_lines(many_logs(1)[0])
        process.stdout.close()
        stderr = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE
    assert b"Traceback" not in stderr
    assert b"Error" not in stderr


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_file_appears_only_when_it_is_complete(manage, tmp_path, signal_number):
    content = as_lines(*many_logs(1000))
    (tmp_path / "logs").write_bytes(content)
    manage.succeed("importlogs", tmp_path / "logs")
    output = tmp_path / "export.ndjson"
    for _ in range(3):
        with manage.start_in_small_steps("exportlogs", "-o", output) as process:
            time.sleep(random.uniform(0.2, 0.6))
            process.send_signal(signal_number)
            process.communicate(timeout=60)
        assert not output.exists() or output.read_bytes() == content
        if signal_number is signal.SIGINT:
            assert not output.with_name("export.ndjson.part").exists()
    done = manage.succeed("exportlogs", "-o", output)
    assert done == f"Written to {output}: 20,000 actions.\n"
    assert output.read_bytes() == content
    assert not output.with_name("export.ndjson.part").exists()

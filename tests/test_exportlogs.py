"""exportlogs: the API's own bytes in a file, and no file that is not complete."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from logs.management import progress
from logs.transfer.exporting import complete_file
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


@pytest.mark.parametrize(
    "name", ["x.xlsx", "x.parquet", "x.TXT", "x.csv.zip", "x.txt.gz", "x.xlsx.GZ", "x.2018", ".xlsx", ".xlsx.gz"]
)
def test_an_ending_that_says_no_format_is_refused(stored, command, tmp_path, name):
    with pytest.raises(
        CommandError,
        match=r"the ending \.\w+ says no format: use \.ndjson, \.json, \.csv or \.jsonl, or say --format\.$",
    ):
        command("exportlogs", "-o", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, start", [("x.JSON", "[{"), ("x.Csv", "time,"), (".json", "[{"), ("x", "{"), ("xlsx", "{")]
)
def test_an_ending_in_capitals_says_the_same_and_without_one_it_is_ndjson(stored, command, tmp_path, name, start):
    command("exportlogs", "-o", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(start)


def test_a_format_that_is_said_needs_no_ending(stored, command, tmp_path):
    command("exportlogs", "-o", tmp_path / "logs.2018", "--format", "csv")
    assert (tmp_path / "logs.2018").read_text().startswith("time,userId")


def test_csv_has_one_action_a_row(stored, command):
    rows = list(csv.DictReader(io.StringIO(command("exportlogs", "--format", "csv"), newline="")))
    assert [(row["userId"], row["sessionId"], row["time"], row["type"]) for row in rows] == [
        (log["userId"], log["sessionId"], action["time"], action["type"]) for log in LOGS for action in log["actions"]
    ]
    assert [json.loads(row["properties"]) for row in rows] == [
        action["properties"] for log in LOGS for action in log["actions"]
    ]


def test_csv_has_a_column_for_each_known_property(stored, command):
    text = command("exportlogs", "--format", "csv")
    assert text.splitlines()[0] == (
        "time,userId,sessionId,type,locationX,locationY,viewedId,pageFrom,pageTo,properties"
    )
    click, view, navigation = csv.DictReader(io.StringIO(text, newline=""))
    assert (click["locationX"], click["locationY"], click["viewedId"]) == ("52", "11", "")
    assert (view["viewedId"], view["pageFrom"]) == ("FDJKLHSLD", "")
    assert (navigation["pageFrom"], navigation["pageTo"]) == ('with "quotes", commas\nand lines', "inventory")


@pytest.mark.django_db
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"], ids=repr)
def test_csv_holds_no_formula_for_a_spreadsheet_and_numbers_as_they_are(post, command, start):
    post([a_log(a_view(viewed_id=f"{start}1+1"), a_click(x=-5), user=f"{start}cmd", session=f"{start}x")])
    view, click = csv.DictReader(io.StringIO(command("exportlogs", "--format", "csv"), newline=""))
    assert (view["userId"], view["sessionId"], view["viewedId"]) == (f"'{start}cmd", f"'{start}x", f"'{start}1+1")
    assert json.loads(view["properties"]) == {"viewedId": f"{start}1+1"}
    assert click["locationX"] == "-5"


def test_the_help_says_what_csv_does_to_formulas(command, capsys):
    with pytest.raises(SystemExit):
        command("exportlogs", "--help")
    assert "begins with = + - @, a tab or a carriage return" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["logs.ndjson", "logs.jsonl", "logs.json", "logs.csv", "logs"])
def test_a_name_says_the_format_and_whether_it_is_gzipped(stored, command, tmp_path, name):
    plain, packed = tmp_path / name, tmp_path / f"{name}.gz"
    assert "3 actions" in command("exportlogs", "-o", plain)
    command("exportlogs", "-o", packed)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    form = {"": "ndjson", ".jsonl": "ndjson"}.get(plain.suffix, plain.suffix[1:])
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


def test_a_file_that_is_overwritten_keeps_its_mode_and_a_new_one_has_that_of_the_umask(stored, command, tmp_path):
    secret, new = tmp_path / "secret.ndjson", tmp_path / "new.ndjson"
    secret.touch()
    secret.chmod(0o600)
    before = os.umask(0o027)
    try:
        for path in (secret, new):
            command("exportlogs", "-o", path)
    finally:
        os.umask(before)
    assert (stat.filemode(secret.stat().st_mode), stat.filemode(new.stat().st_mode)) == ("-rw-------", "-rw-r-----")
    assert secret.read_bytes() == as_lines(*LOGS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_is_overwritten_keeps_its_owner(stored, command, tmp_path):
    path = tmp_path / "logs.ndjson"
    path.touch()
    os.chown(path, 4321, 4322)
    command("exportlogs", "-o", path)
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4322)


def test_an_export_leaves_other_peoples_files_alone(stored, command, tmp_path):
    other = tmp_path / "logs.ndjson.part"
    other.write_text("somebody's")
    command("exportlogs", "-o", tmp_path / "logs.ndjson")
    assert other.read_text() == "somebody's"
    assert {path.name for path in tmp_path.iterdir()} == {
        "logs.ndjson",
        "logs.ndjson.manifest.json",
        "logs.ndjson.part",
    }


def test_two_exports_to_one_name_do_not_mix(tmp_path):
    path = tmp_path / "logs"
    with complete_file(path) as first:
        with complete_file(path) as second:
            first.write(b"first " * 1000)
            second.write(b"second " * 1000)
        assert path.read_bytes() == b"second " * 1000
    assert path.read_bytes() == b"first " * 1000
    assert [found.name for found in tmp_path.iterdir()] == ["logs"]


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


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_file_appears_only_when_it_is_complete(manage, tmp_path, signal_number):
    content = as_lines(*many_logs(1000))
    (tmp_path / "logs").write_bytes(content)
    manage.succeed("importlogs", tmp_path / "logs")
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "export.ndjson"
    for _ in range(3):
        with manage.start_in_small_steps("exportlogs", "-o", output) as process:
            time.sleep(random.uniform(0.2, 0.6))
            process.send_signal(signal_number)
            process.communicate(timeout=60)
        assert not output.exists() or output.read_bytes() == content
        if signal_number is not signal.SIGKILL:
            assert {path.name for path in output.parent.iterdir()} <= {"export.ndjson", "export.ndjson.manifest.json"}
    done = manage.succeed("exportlogs", "-o", output)
    assert done == f"Written to {output}: 20,000 actions.\n"
    assert output.read_bytes() == content


@pytest.mark.parametrize("signal_number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_export_leaves_nothing_behind(stored, tmp_path, monkeypatch, signal_number, code):
    while_writing = []

    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            while_writing.extend(path.name for path in tmp_path.iterdir())
            os.kill(os.getpid(), signal_number)
            return len(text)

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with pytest.raises(CommandError, match="No file was written under that name") as stopped:
        call_command("exportlogs", "-o", str(tmp_path / "logs"), stderr=Interrupting())
    assert stopped.value.returncode == code
    assert while_writing[0].startswith(".incomplete-")
    assert list(tmp_path.iterdir()) == []

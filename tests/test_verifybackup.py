"""verifybackup: an export is good only if it can be restored and holds what was exported."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from logs.models import Action, Log
from logs.transfer import manifests
from logs.transfer.manifests import Blocks, manifest_path
from tests.builders import a_click, a_log, a_view, as_lines, many_logs, store_logs, stored_logs
from tests.server import PROJECT

pytestmark = pytest.mark.django_db

LOGS = [a_log(), a_log(a_click(x=1.5), a_view(), user="bob"), *many_logs(30, actions=5)]


@pytest.fixture
def exported(command, tmp_path):
    """Export LOGS to a file of a name, and return its path."""

    def export(name="logs.ndjson", *options):
        store_logs(*LOGS)
        command("exportlogs", "-o", tmp_path / name, *options)
        return tmp_path / name

    return export


@pytest.fixture
def verify(capfd):
    """Run verifybackup and return its exit code and what was written on stdout and on stderr."""

    def run(*files):
        try:
            call_command("verifybackup", *map(str, files))
        except CommandError as error:
            said = capfd.readouterr()
            return error.returncode, said.out, f"{said.err}{error}"
        return 0, *capfd.readouterr()

    return run


@pytest.mark.parametrize("name", ["logs.ndjson.gz", "logs.json"])
def test_an_export_is_good(exported, verify, name):
    file = exported(name)
    code, stdout, _ = verify(file)
    assert (code, stdout.partition(", exported ")[0]) == (0, f"{file}: good: 155 actions in 32 logs")
    # Nothing is left of the store in which it was tried.
    assert {path.name for path in file.parent.iterdir() if name in path.name or path.name.startswith(".")} == {
        name,
        f"{name}.manifest.json",
    }


def test_a_part_is_good_too(exported, verify):
    file = exported("part.ndjson.gz", "--types", "CLICK", "--user", "bob")
    assert "good: 1 action in 1 log" in verify(file)[1]
    assert "bob" not in manifest_path(file).read_text()


def test_an_export_of_nothing_is_good(command, verify, tmp_path):
    command("exportlogs", "-o", tmp_path / "logs.ndjson")
    assert "good: 0 actions in 0 logs" in verify(tmp_path / "logs.ndjson")[1]


def test_an_export_with_fractions_of_seconds_is_good_where_they_are_taken(
    command, verify, tmp_path, settings, monkeypatch
):
    settings.LOGSTORE_ANY_OFFSET = True
    store_logs(a_log(a_view("2018-10-18T21:37:28.250-06:00")))
    command("exportlogs", "-o", tmp_path / "logs.ndjson")
    monkeypatch.setenv("LOGSTORE_ANY_OFFSET", "true")
    assert verify(tmp_path / "logs.ndjson")[0] == 0
    monkeypatch.setenv("LOGSTORE_ANY_OFFSET", "false")
    code, _, stderr = verify(tmp_path / "logs.ndjson")
    assert code == 1
    assert "INVALID_TIME_FORMAT" in stderr


CHANGES = {
    "a line lost": (lambda text: b"".join(text.splitlines(keepends=True)[:-1]), "31 logs instead of 32"),
    "a line more": (lambda text: text + as_lines(a_log(user="new")), "33 logs instead of 32"),
    "a line doubled": (lambda text: text + text.splitlines(keepends=True)[0], "158 actions instead of 155"),
    "a value changed": (lambda text: text.replace(b"item-7-3", b"item-7-4"), "it differs between line 1 and line 33"),
    "a byte flipped": (lambda text: text.replace(b'"VIEW"', b'"VIEV"', 1), "can't be restored"),
    "cut short": (lambda text: text[:-30], "can't be restored"),
    "emptied": (lambda text: b"", "0 logs instead of 32"),
}


def test_whatever_became_of_a_file_is_found(exported, verify, tmp_path):
    good = exported()
    files = []
    for name, (change, _) in CHANGES.items():
        files.append(tmp_path / f"{name}.ndjson")
        files[-1].write_bytes(change(good.read_bytes()))
        shutil.copy(manifest_path(good), manifest_path(files[-1]))
    code, stdout, stderr = verify(*files, good)
    assert code == 1
    for file, (_, said) in zip(files, CHANGES.values(), strict=True):
        about = [line for line in stdout.splitlines() if line.startswith(f"{file}: ")]
        assert any("is not what was exported" in line for line in about)
        assert any(said in line for line in about), about
    assert f"{good}: good" in stdout
    assert "7 files of 8 can't be relied on." in stderr


def test_a_broken_log_is_named_with_its_line(exported, verify):
    file = exported()
    file.write_bytes(file.read_bytes().replace(b'"CLICK"', b'"CLIK"', 1))
    _, _, stderr = verify(file)
    assert "line 1: /0/actions/0/type: INVALID_ACTION_TYPE" in stderr


def test_the_place_of_a_difference_is_told_by_lines(exported, verify, monkeypatch):
    text = as_lines(*LOGS)
    one, other = Blocks(), Blocks()
    monkeypatch.setattr(manifests, "BLOCK_BYTES", 1000)
    one.update(text)
    changed = text.replace(b"item-20-3", b"item-20-4")
    for start in range(0, len(changed), 77):
        other.update(changed[start : start + 77])
    assert one.lines == other.lines
    differing = [index for index, pair in enumerate(zip(one.digests, other.digests, strict=True)) if len(set(pair)) > 1]
    line = next(number for number, log in enumerate(text.splitlines(), start=1) if b"item-20-3" in log)
    [block] = differing
    assert one.lines[block - 1] <= line <= one.lines[block]


def test_a_gzip_stream_that_breaks_off_is_found(exported, verify):
    file = exported("logs.ndjson.gz")
    file.write_bytes(file.read_bytes()[:-20])
    code, stdout, _ = verify(file)
    assert code == 1
    assert "gzip stream breaks off" in stdout
    assert "can't be restored" in stdout


def test_a_file_that_was_packed_anew_says_the_same(exported, verify):
    file = exported("logs.ndjson.gz")
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), mtime=1))
    code, stdout, _ = verify(file)
    assert code == 1
    assert "its bytes are not those that were exported, but what they say is" in stdout


def test_an_export_that_can_not_be_restored_as_it_was_is_found(exported, verify):
    """By a manifest whose digests are those of the file, and only its counts are not."""
    file = exported()
    manifest = json.loads(manifest_path(file).read_bytes())
    manifest_path(file).write_text(json.dumps({**manifest, "actions": 156}))
    assert "restored, it is 155 actions instead of 156." in verify(file)[1]
    manifest_path(file).write_text(json.dumps({**manifest, "blocks": ["0" * 64]}))
    assert "restored, it says something else between line 1 and line 33." in verify(file)[1]


def test_without_a_manifest_nothing_is_proved(exported, verify):
    file = exported()
    manifest_path(file).unlink()
    code, stdout, _ = verify(file)
    assert code == 1
    assert "there is no logs.ndjson.manifest.json" in stdout
    manifest_path(file).write_text("[]")
    assert "is no manifest of an export" in verify(file)[1]


def test_a_csv_can_not_be_restored_and_has_no_manifest(exported, verify):
    file = exported("logs.csv")
    assert not manifest_path(file).exists()
    code, stdout, _ = verify(file)
    assert (code, "a CSV can't be restored" in stdout) == (1, True)


def test_a_file_that_is_not_there_is_refused(verify, tmp_path):
    assert "there is no such file" in verify(tmp_path / "missing")[2]


def test_the_manifest_of_an_older_file_never_stands_beside_a_new_one(exported, command, verify):
    file = exported()
    store_logs(a_log(user="new"))
    command("exportlogs", "-o", file)
    assert "good: 158 actions in 33 logs" in verify(file)[1]


def test_what_is_no_file_has_no_manifest(command):
    command("exportlogs", "-o", "/dev/null")
    assert not os.path.exists("/dev/null.manifest.json")


def test_the_store_itself_is_not_looked_at(exported, verify):
    file = exported()
    Action.objects.all().delete()
    Log.objects.all().delete()
    assert "good: 155 actions in 32 logs" in verify(file)[1]
    assert stored_logs() == 0


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_one_leaves_nothing_behind(exported, manage, signal_number):
    file = exported()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "verifybackup", file],
        cwd=PROJECT,
        env=manage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not list(file.parent.glob(".verifybackup-*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal_number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + signal_number
    assert b"Interrupted. Nothing was proved." in stderr
    assert not list(file.parent.glob(".verifybackup-*"))

"""importlogs: what it takes, what it refuses, and that nothing stops it from storing each log once."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import signal
import tempfile
from pathlib import Path

import pytest
from django.core.management import CommandError

from logs.models import Action, Log
from logs.transfer.sources import readable_size
from tests.builders import a_click, a_log, a_view, as_lines, many_logs, stored_actions, stored_logs

LOGS = [a_log(user="first"), a_log(a_click(), user="second"), a_log(a_view(), user="third")]
BAD = a_log({"time": "2018-10-18T21:37:28-06:00", "type": "VIEW", "properties": {"viewedIdd": "x"}}, user="bad")

FORMATS = {
    "array": json.dumps(LOGS).encode(),
    "indented-array": json.dumps(LOGS, indent=2).encode(),
    "lines": as_lines(*LOGS),
    "lines-without-a-last-end": as_lines(*LOGS).rstrip(),
    "lines-with-blank-ones": b"\n  \n" + as_lines(*LOGS).replace(b"\n", b"\r\n\r\n"),
    "byte-order-mark": b"\xef\xbb\xbf" + as_lines(*LOGS),
}


@pytest.mark.django_db
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS)
def test_every_format_is_found_out(command, get, file, content, compress):
    assert command("importlogs", file(compress(content))) == "Stored: 5 actions in 3 logs.\n"
    assert get() == LOGS


@pytest.mark.django_db
def test_numbers_stay_as_they_were_written(command, file):
    text = b'[{"userId":"u","sessionId":"s","actions":[{"time":"2018-10-18T21:37:28-06:00","type":"CLICK",'
    command("importlogs", file(text + b'"properties":{"locationX":-0,"locationY":5.50,"more":1e400}}]}]'))
    assert '{"locationX":-0,"locationY":5.50' in command("exportlogs")


MONGO_CANONICAL = {
    "_id": {"$oid": "5bc9"},
    "userId": "ABC",
    "sessionId": "XYZ",
    "actions": [
        {
            "time": "2018-10-18T21:37:28-06:00",
            "type": "CLICK",
            "properties": {"_cls": "Click", "locationX": {"$numberInt": "52"}, "locationY": {"$numberDouble": "11.5"}},
        },
        {
            "time": "2018-10-18T21:37:30-06:00",
            "type": "NAVIGATE",
            "properties": {"_cls": "Navigate", "pageFrom": "a", "pageTo": "b", "_other": 1},
        },
    ],
}


@pytest.mark.django_db
@pytest.mark.parametrize("content", [as_lines(MONGO_CANONICAL), json.dumps([MONGO_CANONICAL]).encode()])
def test_documents_of_the_old_service_lose_what_mongodb_added(command, get, file, content):
    command("importlogs", file(content))
    [log] = get()
    assert (log["userId"], log["sessionId"]) == ("ABC", "XYZ")
    assert [action["properties"] for action in log["actions"]] == [
        {"locationX": 52, "locationY": 11.5},
        {"pageFrom": "a", "pageTo": "b", "_other": 1},
    ]


def _with_time(time) -> bytes:
    document = json.loads(json.dumps(MONGO_CANONICAL))
    document["actions"][0]["time"] = time
    return as_lines(document)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "date, written",
    {
        "2018-10-19T03:37:28Z": "2018-10-18T21:37:28-06:00",
        "2018-10-19T03:37:28.000Z": "2018-10-18T21:37:28-06:00",
        "2018-10-19T03:37:28.042Z": "2018-10-18T21:37:28.042000-06:00",
        "2018-10-18T21:37:28.042-0600": "2018-10-18T21:37:28.042000-06:00",
        "2018-10-18T21:37:28-06:00": "2018-10-18T21:37:28-06:00",
        "1969-12-31T23:59:59.999Z": "1969-12-31T17:59:59.999000-06:00",
    }.items(),
)
def test_a_date_of_mongodb_is_the_same_instant(command, get, file, date, written):
    command("importlogs", file(_with_time({"$date": date})))
    assert written in [action["time"] for action in get()[0]["actions"]]


@pytest.mark.django_db
@pytest.mark.parametrize("wrapped", [False, True], ids=["legacy", "canonical"])
@pytest.mark.parametrize(
    "milliseconds, written",
    [
        (1539920248000, "2018-10-18T21:37:28-06:00"),
        (1539920248042, "2018-10-18T21:37:28.042000-06:00"),
        (0, "1969-12-31T18:00:00-06:00"),
        (-1, "1969-12-31T17:59:59.999000-06:00"),
        (-62135575200000, "0001-01-01T00:00:00-06:00"),
        (253402300799999, "9999-12-31T17:59:59.999000-06:00"),
    ],
)
def test_a_date_of_mongodb_in_milliseconds_is_the_same_instant(command, get, file, wrapped, milliseconds, written):
    number = {"$numberLong": str(milliseconds)} if wrapped else milliseconds
    command("importlogs", file(_with_time({"$date": number})))
    assert written in [action["time"] for action in get()[0]["actions"]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "time",
    [
        {"$date": 253402300800000},
        {"$date": -62135575200001},
        {"$date": {"$numberLong": "9" * 400}},
        {"$date": {"$numberDouble": "1e999999"}},
        {"$date": {"$numberLong": "NaN"}},
        {"$date": "2018-02-30T00:00:00.000Z"},
        {"$date": "2018-10-19T03:37:28"},
        {"$date": "2018-10-19"},
        {"$date": "0001-01-01T00:00:00Z"},
        {"$date": True},
        {"$date": 1.5},
        {"$date": None},
        {"$date": 0, "more": 0},
        {"$timestamp": {"t": 1539920248, "i": 1}},
    ],
    ids=str,
)
def test_a_date_of_mongodb_that_the_store_can_not_hold_is_refused(command, file, tmp_path, time):
    content = _with_time(time)
    with pytest.raises(CommandError, match="line 1: /0/actions/0/time: INVALID_TIME_FORMAT"):
        command("importlogs", file(content))
    rejects = tmp_path / "rejects.ndjson"
    command("importlogs", file(content), "--on-error", "skip", "--rejects", rejects)
    assert json.loads(rejects.read_text())["actions"][0]["time"] == time


@pytest.mark.django_db
def test_a_date_of_mongodb_in_a_log_of_the_stores_own_or_in_properties_is_no_time(command, get, file):
    with pytest.raises(CommandError, match="INVALID_TIME_FORMAT"):
        command("importlogs", file(as_lines(a_log(a_view({"$date": 0})))))
    document = json.loads(json.dumps(MONGO_CANONICAL))
    document["actions"][1]["properties"]["seen"] = {"$date": "2018-10-19T03:37:28Z"}
    command("importlogs", file(as_lines(document)))
    assert get()[0]["actions"][1]["properties"]["seen"] == {"$date": "2018-10-19T03:37:28Z"}


@pytest.mark.django_db
def test_a_refused_time_is_told_how_its_instant_is_written(command, file):
    with pytest.raises(CommandError, match=r"Write this instant as 2018-10-18T21:37:28-06:00, or set LOGSTORE_ANY"):
        command("importlogs", file(as_lines(a_log(a_view("2018-10-19T03:37:28.000Z")))))


@pytest.mark.django_db
def test_a_number_of_mongodb_that_is_none_is_refused(command, file):
    document = json.loads(json.dumps(MONGO_CANONICAL).replace('"52"', '"NaN"'))
    with pytest.raises(CommandError, match="line 1: /0/actions/0/properties/locationX: INVALID_LOCATION_X_VALUE"):
        command("importlogs", file(as_lines(document)))


@pytest.mark.django_db
def test_a_log_of_the_stores_own_keeps_a_member_called_like_mongodbs(command, file, get):
    log = a_log(a_view(_cls="mine"))
    command("importlogs", file(as_lines(log)))
    assert get() == [log]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content, line, pointer",
    [
        pytest.param(as_lines(LOGS[0], BAD), 2, "/1/actions/0/properties/viewedId", id="lines"),
        pytest.param(b"\n\n" + as_lines(BAD), 3, "/2/actions/0/properties/viewedId", id="after-blank-lines"),
        pytest.param(
            b"[\n" + as_lines(LOGS[0]) + b",\n" + as_lines(BAD) + b"]",
            4,
            "/1/actions/0/properties/viewedId",
            id="array",
        ),
    ],
)
def test_the_first_bad_log_stops_the_import_with_its_line_and_pointer(command, file, content, line, pointer):
    with pytest.raises(CommandError, match=f"line {line}: {pointer}: MISSING_VIEWEDID_VALUE"):
        command("importlogs", file(content))
    assert stored_actions() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content, message",
    [
        pytest.param(gzip.compress(as_lines(*many_logs()))[:-9], "gzip stream is broken", id="cut-gzip"),
        pytest.param(as_lines(*LOGS)[:-9], "breaks off in the middle", id="cut-line"),
        pytest.param(json.dumps(LOGS).encode()[:-9], "the array breaks off", id="cut-array"),
        pytest.param(json.dumps(LOGS).encode() + b"x", "something follows", id="after-the-array"),
        pytest.param(b"[" + as_lines(LOGS[0]) + b",]", "a comma of the array", id="lone-comma"),
        pytest.param("[]".encode("utf-16"), "UTF-16", id="utf-16"),
        pytest.param(b"PK\x03\x04 no logs", "INVALID_JSON|breaks off", id="another-format"),
    ],
)
@pytest.mark.parametrize("skip", [False, True], ids=["stop", "skip"])
def test_a_file_that_is_broken_says_how(command, file, tmp_path, content, message, skip):
    options = ["--on-error", "skip", "--rejects", tmp_path / "rejects"] if skip else []
    with pytest.raises(CommandError, match=message):
        command("importlogs", file(content), *options)
    assert stored_actions() == 0


@pytest.mark.django_db
def test_skipped_logs_go_to_the_rejects_and_can_be_mended_there(command, file, tmp_path):
    rejects = tmp_path / "rejects.ndjson"
    content = as_lines(LOGS[0], BAD) + b'not json \xff "\n' + as_lines(LOGS[1], 5)
    said = command("importlogs", file(content), "--on-error", "skip", "--rejects", rejects)
    assert said == "Stored: 4 actions in 2 logs. Rejected: 3 logs.\n"
    bad, text, number = (json.loads(line) for line in rejects.read_bytes().splitlines())
    assert (bad["userId"], bad["line"]) == ("bad", 2)
    assert [error["pointer"] for error in bad["errors"]] == ["/1/actions/0/properties/viewedId"]
    assert (text["line"], text["errors"][0]["code"]) == (3, "INVALID_JSON")
    assert text["text"].encode(errors="surrogateescape") == b'not json \xff "'
    assert (number["text"], number["errors"][0]["code"]) == ("5", "INVALID_LOG")
    mended = rejects.read_bytes().splitlines()[0].replace(b"viewedIdd", b"viewedId")
    assert command("importlogs", file(mended + b"\n", "mended")) == "Stored: 1 action in 1 log.\n"


@pytest.mark.django_db
def test_a_lone_surrogate_is_rejected_and_kept_as_it_was(command, file, tmp_path):
    content = as_lines(a_log(a_view(viewed_id="HERE"))).replace(b"HERE", b"\\ud800")
    command("importlogs", file(content), "--on-error", "skip", "--rejects", tmp_path / "rejects")
    reject = (tmp_path / "rejects").read_bytes()
    assert b'"viewedId":"\\ud800"' in reject
    assert json.loads(reject)["errors"][0]["code"] == "INVALID_CHARACTER"


@pytest.mark.django_db
@pytest.mark.parametrize("options", [["--on-error", "skip"], ["--rejects", "rejects"]])
def test_no_log_may_be_skipped_without_a_file_for_it(command, file, options):
    with pytest.raises(CommandError, match="go together"):
        command("importlogs", file(as_lines(*LOGS)), *options)


@pytest.mark.django_db
def test_the_rejects_never_overwrite_the_file_that_is_read(command, file):
    path = file(as_lines(BAD))
    with pytest.raises(CommandError, match="one of the files to import"):
        command("importlogs", path, "--on-error", "skip", "--rejects", path)
    assert path.read_bytes() == as_lines(BAD)


@pytest.mark.django_db
def test_a_dry_run_validates_and_stores_nothing(command, file):
    said = command("importlogs", file(as_lines(*LOGS)), "--dry-run")
    assert said == "Valid: 5 actions in 3 logs. Nothing was stored: this was a dry run.\n"
    assert stored_actions() == 0
    with pytest.raises(CommandError, match=r"MISSING_VIEWEDID_VALUE: .*\nNothing was stored\."):
        command("importlogs", file(as_lines(BAD)), "--dry-run")


@pytest.mark.django_db
def test_the_same_file_again_stores_nothing_and_says_so(command, file):
    command("importlogs", file(as_lines(*LOGS)))
    said = command("importlogs", file(gzip.compress(as_lines(*LOGS)), "other-name.gz"))
    assert said == "Stored: 0 actions in 0 logs. There already: 5 actions.\n"
    assert stored_actions() == 5


@pytest.mark.django_db
def test_a_file_is_stored_again_for_those_who_want_that(command, file):
    command("importlogs", file(as_lines(*LOGS)))
    assert command("importlogs", file(as_lines(*LOGS)), "--again") == "Stored: 5 actions in 3 logs.\n"
    assert stored_actions() == 10


@pytest.mark.django_db
def test_a_store_that_was_emptied_takes_its_files_again(command, file):
    command("importlogs", file(as_lines(*LOGS)))
    Action.objects.all().delete()
    Log.objects.all().delete()
    assert command("importlogs", file(as_lines(*LOGS))) == "Stored: 5 actions in 3 logs.\n"


@pytest.mark.django_db
def test_a_file_that_has_grown_brings_only_what_is_new(command, file, monkeypatch):
    logs = many_logs(60)
    monkeypatch.setattr("logs.transfer.importing.CHUNK_BYTES", 20_000)
    for length in (7, 35, 36, 60):
        command("importlogs", file(as_lines(*logs[:length])))
    assert stored_logs() == 60
    assert stored_actions() == 1200


@pytest.mark.django_db
def test_a_mended_file_keeps_what_was_stored_before_the_bad_line(command, file, monkeypatch):
    logs = many_logs(60)
    monkeypatch.setattr("logs.transfer.importing.CHUNK_BYTES", 20_000)
    with pytest.raises(CommandError, match=r"line 41(?s:.*)\d+ actions of what came before are stored\."):
        command("importlogs", file(as_lines(*logs[:40], BAD, *logs[40:])))
    stored = stored_actions()
    assert 0 < stored < 800
    assert f"There already: {stored:,} actions" in command("importlogs", file(as_lines(*logs)))
    assert stored_actions() == 1200


@pytest.mark.django_db
def test_actions_appended_later_and_in_turns_survive_export_and_import(command, post, file):
    for number in range(3):
        post([a_log(a_click(x=number), user=user, session="s") for user in ("b", "a", "c")])
    post([a_log(a_view("2017-01-01T00:00:00-06:00"), user="c", session="s")])
    exported = command("exportlogs")
    Action.objects.all().delete()
    Log.objects.all().delete()
    command("importlogs", file(exported.encode()))
    assert command("exportlogs") == exported


@pytest.mark.django_db
def test_more_files_than_may_be_open_at_once(command, tmp_path):
    logs = many_logs(60, actions=1)
    for number, log in enumerate(logs):
        (tmp_path / f"{number:02}").write_bytes(as_lines(log))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        assert command("importlogs", *sorted(tmp_path.iterdir())) == "Stored: 60 actions in 60 logs.\n"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.django_db
def test_a_file_that_cannot_be_read_is_named_before_anything_is_stored(command, file, tmp_path):
    with pytest.raises(CommandError, match="missing: No such file or directory"):
        command("importlogs", file(as_lines(*LOGS)), tmp_path / "missing")
    with pytest.raises(CommandError, match=f"{tmp_path}: Is a directory"):
        command("importlogs", file(as_lines(*LOGS)), tmp_path)
    assert stored_actions() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_file_that_may_not_be_read_is_named():
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs"
        path.touch(0o600)
        Path(folder).chmod(0o755)
        os.seteuid(4321)
        try:
            with pytest.raises(PermissionError, match=f"Permission denied: '{path}'"):
                readable_size(str(path))
        finally:
            os.seteuid(0)


def test_several_files_and_stdin_are_read_by_a_process(manage, file):
    first, second = as_lines(*LOGS[:2]), gzip.compress(as_lines(LOGS[2]))
    done = manage.run("importlogs", file(first), "-", stdin=second)
    assert (done.returncode, done.stdout) == (0, b"Stored: 5 actions in 3 logs.\n")
    assert b"importlogs: " in done.stderr
    assert manage.export() == as_lines(*LOGS)


def test_a_process_that_refuses_exits_with_1_and_says_why_on_stderr(manage, file):
    done = manage.run("importlogs", file(as_lines(BAD)))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"line 1: /0/actions/0/properties/viewedId: MISSING_VIEWEDID_VALUE" in done.stderr
    missing = manage.run("importlogs", "no-such-file")
    assert (missing.returncode, missing.stderr) == (1, b"CommandError: no-such-file: No such file or directory\n")


def test_a_store_without_tables_says_what_to_do(manage, file, tmp_path):
    manage.environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    done = manage.run("importlogs", file(as_lines(*LOGS)))
    assert done.returncode == 1
    assert b"manage.py migrate" in done.stderr


@pytest.mark.parametrize("name", ["importlogs", "exportlogs", "purgelogs", "logstats", "verifylogs", "demodata"])
def test_every_command_explains_itself(command, capsys, name):
    with pytest.raises(SystemExit) as ended:
        command(name, "--help")
    assert ended.value.code == 0
    assert f"manage.py {name}" in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("form", ["lines", "gzipped array"])
def test_an_import_stopped_at_random_moments_stores_each_log_once(manage, file, tmp_path, signal_number, form):
    logs = many_logs(600)
    for index in random.sample(range(1, 600), 20):
        logs[index]["actions"][0] = BAD["actions"][0]
    good = as_lines(*(log for log in logs if log["actions"][0] is not BAD["actions"][0]))
    content = as_lines(*logs) if form == "lines" else gzip.compress(json.dumps(logs).encode())
    rejects = tmp_path / "rejects"
    arguments = ["importlogs", file(content), "--on-error", "skip", "--rejects", rejects]
    codes = [manage.interrupt_at_random(signal_number, *arguments) for _ in range(3)]
    # -2 is how the interpreter itself ends that is interrupted before there is a command.
    assert set(codes) <= ({0, 130, -2} if signal_number is signal.SIGINT else {0, -9})
    manage.finish_in_small_steps(*arguments)
    assert manage.export() == good
    assert [json.loads(line)["line"] for line in rejects.read_bytes().splitlines()] == (
        [index + 1 for index, log in enumerate(logs) if log["actions"][0] is BAD["actions"][0]]
        if form == "lines"
        else [1] * 20
    )

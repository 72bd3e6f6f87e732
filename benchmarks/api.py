"""How fast the API is, each figure as a ratio to the same work done otherwise in the same run.

    DATABASE_URL=postgres://… make benchmark

Makes the database logstore_benchmark on that server, and drops it.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

ROUNDS = 40
LOGS, ACTIONS_PER_LOG = 100, 10
TABLE_ACTIONS = 1_000_000
MEMORY_PORT = 8190

Timed = Callable[[], float]


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    from django.conf import settings

    if "postgresql" not in settings.DATABASES["default"]["ENGINE"]:
        sys.exit("The benchmark needs PostgreSQL: set DATABASE_URL.")
    with _fresh_database():
        from logstore_project.wsgi import application

        _compare_post(application)
        _fill_table()
        _compare_get(application)
        _measure_memory()


def _compare_post(application: Callable) -> None:
    posted, bare, stock = [], [], []
    for round_number in range(ROUNDS):
        # New logs in every round, the three in turn, so that what slows the machine down slows all of them.
        posted.append(_post(application, "/logs/", _body(f"posted{round_number}")))
        bare.append(_bare_write(f"bare{round_number}"))
        if round_number % 4 == 0:
            stock.append(_post(application, "/stock/", _body(f"stock{round_number}")))
    print(f"POST of {LOGS * ACTIONS_PER_LOG} actions in {LOGS} logs, median of {ROUNDS}")
    _report("the request", posted)
    _report("bare upsert and COPY of the same rows", bare)
    _report("stock build, the same request", stock)
    _ratio("request / bare write", posted, bare, "at most 2.0")
    _ratio("throughput of the store / of the stock build", stock, posted, "at least 5")


def _compare_get(application: Callable) -> None:
    answered, bare = [], []
    for round_number in range(ROUNDS * 5):
        user = f"user{(round_number * 37) % 5000}"
        # Whoever comes first finds a user's pages cold: they take turns.
        steps = [
            lambda user=user: answered.append(_get(application, f"userId={user}")),
            lambda user=user: bare.append(_bare_read(user)),
        ]
        for step in steps if round_number % 2 else reversed(steps):
            step()
    print(f"\nGET of a user's 200 actions among {TABLE_ACTIONS:,}, median of {len(answered)}")
    _report("the request", answered)
    _report("bare SQL of the same rows", bare)
    _ratio("request / bare SQL", answered, bare, "at most 3")


def _measure_memory() -> None:
    command = ["-c", "python:logstore_project.gunicorn_conf", "-b", f"127.0.0.1:{MEMORY_PORT}", "-w", "1"]
    executable = str(Path(sys.executable).with_name("gunicorn"))
    server = subprocess.Popen(
        [executable, *command, "logstore_project.wsgi"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{MEMORY_PORT}/logs/"
        _wait_for(f"{address}?userId=nobody")
        worker = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        before = _peak_memory(worker)
        started, size = time.perf_counter(), 0
        with urllib.request.urlopen(address) as answer:
            while chunk := answer.read(1 << 20):
                size += len(chunk)
        seconds = time.perf_counter() - started
        growth = _peak_memory(worker) - before
    finally:
        server.terminate()
        server.wait()
    print(f"\nGET of all {TABLE_ACTIONS:,} actions: {size / 1e6:.0f} MB in {seconds:.1f} s")
    print(f"  the server's memory grew by {growth:.1f} MiB (less than 50)")


def _body(user: str) -> bytes:
    return json.dumps(
        [
            {"userId": f"{user}-{log}", "sessionId": "session", "actions": [_action(n) for n in range(ACTIONS_PER_LOG)]}
            for log in range(LOGS)
        ]
    ).encode()


def _action(number: int) -> dict[str, object]:
    action_type, properties = [
        ("CLICK", {"locationX": 52, "locationY": 11}),
        ("VIEW", {"viewedId": "FDJKLHSLD"}),
        ("NAVIGATE", {"pageFrom": "communities", "pageTo": "inventory"}),
    ][number % 3]
    return {"time": f"2018-10-18T21:37:{number:02}-06:00", "type": action_type, "properties": properties}


def _post(application: Callable, path: str, body: bytes) -> float:
    seconds, status, _ = _call(application, "POST", path, "", body)
    assert status.startswith("20"), status
    return seconds


def _get(application: Callable, query: str) -> float:
    seconds, status, answer = _call(application, "GET", "/logs/", query, b"")
    assert status.startswith("200"), status
    assert answer.count(b'"time"') == 200
    return seconds


def _call(application: Callable, method: str, path: str, query: str, body: bytes) -> tuple[float, str, bytes]:
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }
    started = time.perf_counter()
    response = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
    answer = b"".join(response)
    response.close()
    return time.perf_counter() - started, statuses[0], answer


def _bare_write(user: str) -> float:
    """Write the rows of a request, made ready beforehand, with the store's own two statements."""
    from django.db import connection

    from logs.api.serializers import LogSerializer
    from logs.store import append as store

    rows = LogSerializer(data=json.loads(_body(user)), many=True)
    rows.is_valid(raise_exception=True)
    merged = store._merge(rows.validated_data)
    columns = [list(column) for column in zip(*(store._log_columns(*log) for log in merged.items()), strict=True)]
    connection.ensure_connection()
    raw = connection.connection
    with raw.cursor() as cursor:
        started = time.perf_counter()
        cursor.execute("BEGIN")
        cursor.execute(store._UPSERT_POSTGRESQL, columns)
        log_ids = {(user_id, session): log_id for log_id, user_id, session in cursor.fetchall()}
        upserted = time.perf_counter()
        lines = io.BytesIO("".join(store._copy_lines(merged, log_ids)).encode())
        ready = time.perf_counter()
        cursor.copy_expert(store._COPY_ACTIONS, lines)
        cursor.execute("COMMIT")
        return (time.perf_counter() - ready) + (upserted - started)


def _bare_read(user: str) -> float:
    from django.db import connection

    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        started = time.perf_counter()
        cursor.execute(
            "SELECT l.id, l.user_id, l.session_id, a.time, a.type, a.properties::text FROM logs_action a"
            " JOIN logs_log l ON l.user_id = a.user_id AND l.id = a.log_id"
            " WHERE a.user_id = %s ORDER BY a.log_id, a.time, a.id",
            [user],
        )
        rows = cursor.fetchall()
        seconds = time.perf_counter() - started
    assert len(rows) == 200
    return seconds


def _fill_table() -> None:
    """20 logs of 10 actions for each of 5,000 users, as if all had come in over the same months."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE logs_action, logs_log RESTART IDENTITY")
        cursor.execute(
            "INSERT INTO logs_log (user_id, session_id, version, first_time, last_time,"
            " click_count, view_count, navigate_count)"
            " SELECT 'user' || n %% 5000, 'session' || n, 1, '2026-01-01', '2027-01-01', 4, 3, 3"
            " FROM generate_series(0, %s) n",
            [TABLE_ACTIONS // 10 - 1],
        )
        cursor.execute(
            "INSERT INTO logs_action (user_id, log_id, time, type, properties)"
            " SELECT user_id, id, timestamptz '2026-01-01' + id * interval '1 minute' + n * interval '3 seconds',"
            " (ARRAY['CLICK', 'VIEW', 'NAVIGATE'])[n %% 3 + 1], (ARRAY["
            '  \'{"locationX":52,"locationY":11}\', \'{"viewedId":"FDJKLHSLD"}\','
            '  \'{"pageFrom":"communities","pageTo":"inventory"}\'])[n %% 3 + 1]::json'
            " FROM logs_log, generate_series(0, 9) n ORDER BY id, n",
            [],
        )
        cursor.execute("VACUUM ANALYZE logs_log, logs_action")


@contextmanager
def _fresh_database() -> Iterator[None]:
    from django.db import connection

    with connection._nodb_cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS logstore_benchmark")
        cursor.execute("CREATE DATABASE logstore_benchmark")
    try:
        call_command("migrate", verbosity=0, run_syncdb=True)
        yield
    finally:
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute("DROP DATABASE logstore_benchmark WITH (FORCE)")


def _wait_for(address: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(address).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("The server did not start.")


def _peak_memory(process: int) -> float:
    """The most memory a process has held so far, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _report(name: str, seconds: list[float]) -> None:
    print(f"  {name}: {statistics.median(seconds) * 1000:.2f} ms")


def _ratio(name: str, above: list[float], below: list[float], goal: str) -> None:
    print(f"  {name}: {statistics.median(above) / statistics.median(below):.2f} ({goal})")


if __name__ == "__main__":
    main()

"""How long importlogs and exportlogs take beside psql doing the same on the same tables of PostgreSQL.

    DATABASE_URL=postgres://… python benchmarks/commands.py [ACTIONS]

Needs psql and an empty database to itself, in which it makes and empties the tables. Prints seconds and ratios, medians
of runs taken in turns: importlogs against psql's copy of the same rows, exportlogs against its copy of the same lines
made by the server's own JSON functions.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
TARGET = 2.0

URL = os.environ.get("DATABASE_URL", "")
ENVIRONMENT = {"SECRET_KEY": secrets.token_hex(), **os.environ}

LOG_COLUMNS = "id, user_id, session_id, version, first_time, last_time, click_count, view_count, navigate_count"
ACTION_COLUMNS = "user_id, log_id, time, type, properties"
SAME_LINES = """
    SELECT json_build_object('userId', log.user_id, 'sessionId', log.session_id, 'actions', json_agg(
        json_build_object(
            'time', to_char(action.time AT TIME ZONE INTERVAL '-06:00', 'YYYY-MM-DD"T"HH24:MI:SS') || '-06:00',
            'type', action.type, 'properties', action.properties
        ) ORDER BY action.time, action.id))
    FROM logs_log log JOIN logs_action action ON (action.user_id, action.log_id) = (log.user_id, log.id)
    GROUP BY log.id ORDER BY log.id
"""


def main(actions: int) -> None:
    """Fill the database with demo data, take turns, and print the table."""
    if not URL.startswith("postgres"):
        sys.exit("DATABASE_URL must be that of an empty PostgreSQL database.")
    manage("migrate", "--verbosity", "0")
    if psql("SELECT count(*) FROM logs_log") != "0":
        sys.exit("The database is not empty.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(Path(folder), actions)
        finally:
            empty()


def measure(folder: Path, actions: int) -> None:
    lines, logs, rows = folder / "logs.ndjson", folder / "logs.copy", folder / "actions.copy"
    manage("demodata", "--actions", str(actions), "--users", str(max(actions // 500, 1)), "--end", "2018-10-31")
    manage("exportlogs", "-o", str(lines))
    psql(rf"\copy logs_log ({LOG_COLUMNS}) TO '{logs}'")
    psql(rf"\copy (SELECT {ACTION_COLUMNS} FROM logs_action ORDER BY id) TO '{rows}'")
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        empty()
        timed(seconds, "psql in", lambda: copy_in(logs, rows))
        empty()
        timed(seconds, "importlogs", lambda: manage("importlogs", str(lines)))
        psql("VACUUM ANALYZE")
        timed(seconds, "psql out", lambda: copy_out(folder / "psql.ndjson"))
        timed(seconds, "exportlogs", lambda: manage("exportlogs", "-o", str(folder / "export.ndjson")))
    if (folder / "export.ndjson").read_bytes() != lines.read_bytes():
        sys.exit("The export of the import is another one.")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{actions:,} actions, {lines.stat().st_size / 2**20:.0f} MiB as NDJSON, median of {ROUNDS}")
    for ours, theirs in (("importlogs", "psql in"), ("exportlogs", "psql out")):
        ratio = medians[ours] / medians[theirs]
        print(f"{ours}: {medians[ours]:.1f} s, psql {medians[theirs]:.1f} s, ratio {ratio:.2f} (at most {TARGET})")


def timed(seconds: dict[str, list[float]], name: str, run: Callable[[], object]) -> None:
    # What the run before left to write is not this one's to wait for.
    psql("CHECKPOINT")
    started = time.perf_counter()
    run()
    seconds.setdefault(name, []).append(time.perf_counter() - started)


def copy_in(logs: Path, rows: Path) -> None:
    psql(rf"\copy logs_log ({LOG_COLUMNS}) FROM '{logs}'", rf"\copy logs_action ({ACTION_COLUMNS}) FROM '{rows}'")


def copy_out(path: Path) -> None:
    psql(rf"\copy ({' '.join(SAME_LINES.split())}) TO '{path}'")


def empty() -> None:
    psql("TRUNCATE logs_action, logs_log, logs_importedchunk")


def psql(*commands: str) -> str:
    options = [option for command in commands for option in ("-c", command)]
    return run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname", URL, *options)


def manage(*arguments: str) -> str:
    return run(sys.executable, str(ROOT / "manage.py"), *arguments)


def run(*command: str) -> str:
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

"""What it costs to take everything out of the store and into it, beside psql with the same rows and the same bytes.

    DATABASE_URL=postgres://… python -m benchmarks.transfer [--actions 1000000] [--rounds 3] [--only import,known]

- get: GET /logs/ of everything from the server, and how much memory that takes it, beside psql writing the same bytes,
  made by PostgreSQL alone.
- import: importlogs beside psql's \\copy of the same logs and actions, ready-made, into the same tables with the same
  indexes and constraints, each time in a fresh database.
- known: importlogs into a store of ten times as many actions, which it looks through, beside --again, which looks for
  nothing: logs that are new, new actions at the times of stored ones, and stored ones.
- export: exportlogs to a file, beside psql as in get and sync, since exportlogs syncs, too; and both gzipped. Beside
  them an export of nothing: what the start of Python and Django takes.

They take turns; every figure is the median of the rounds. Needs psql, gzip, and a role that may make databases and
CHECKPOINT. Exits where what one wrote is not what the other wrote.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

from benchmarks.measure import (
    COST_HEADINGS,
    Cost,
    command_cost,
    peak_memory,
    print_medians,
    ratio,
    server_cost,
    tree,
)
from benchmarks.sample import ACTIONS_A_LOG
from benchmarks.servers import PYTHON, ROOT, Server, Workspace, environment, manage, query, run, start_store, workspace

DAYS = 30
READ_BYTES = 1 << 20
# The greatest ratio of wall time to psql's that the store is to have.
TARGETS = {"get": 1.2, "import": 1.5, "export": 1.2}
# And that of an import that looks for what is there to one that does not.
LOOK_TARGET = 1.3

LOG_COLUMNS = "id, user_id, session_id, version, first_time, last_time, click_count, view_count, navigate_count"
ACTION_COLUMNS = "user_id, log_id, time, type, properties"
# One log a line, exactly as the store writes it: the sample has no fraction of a second and nothing that COPY escapes.
LINES = """
    SELECT '{"userId":' || to_json(log.user_id) || ',"sessionId":' || to_json(log.session_id) || ',"actions":['
        || string_agg('{"time":"' || to_char(action.time AT TIME ZONE 'UTC' - interval '6 hours',
            'YYYY-MM-DD"T"HH24:MI:SS') || '-06:00","type":"' || action.type
            || '","properties":' || action.properties || '}', ',' ORDER BY action.time, action.id) || ']}'
    FROM logs_log log JOIN logs_action action ON (action.user_id, action.log_id) = (log.user_id, log.id)
    GROUP BY log.id ORDER BY log.id
"""

Costs = dict[str, list[Cost]]


def main() -> None:
    arguments = _arguments()
    with workspace("psql", "gzip") as where:
        database = where.new_database("transfer")
        run([PYTHON, "-m", "benchmarks.sample", str(arguments.actions), str(DAYS), "0"], ROOT, environment(database))
        lines = where.folder / "psql.ndjson"
        run(_psql_out(database, lines), ROOT)
        size = lines.stat().st_size / 2**20
        print(f"{arguments.actions:,} actions, {size:.0f} MiB as NDJSON; medians of {arguments.rounds} rounds.")
        print("PostgreSQL's CPU is with walwriter and checkpointer, which serve all databases.")
        for name in arguments.only:
            PARTS[name](where, database, lines, arguments.rounds)


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(PARTS):
            raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}")
        return [name for name in PARTS if name in text.split(",")]

    parser = argparse.ArgumentParser(description="What everything out of the store and into it costs, beside psql.")
    parser.add_argument("--actions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each contestant (default: 3)")
    parser.add_argument("--only", type=names, default=list(PARTS), help=f"any of {','.join(PARTS)}")
    return parser.parse_args()


def _measure_get(where: Workspace, database: str, lines: Path, rounds: int) -> None:
    server = start_store(where, "store", database)
    where.wait_for(server)
    answer, again = where.folder / "answer.json", where.folder / "again.ndjson"
    # Every worker is to have streamed, and loaded what that needs, before its memory counts.
    first = query(
        database, "SELECT to_char(max(time) - interval '30 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS') FROM logs_action"
    )
    for _ in range(8):
        for _ in _download(server, f"/logs/?from={first[0][0]}-06:00", answer):
            pass
    before = peak_memory(tree(server.process.pid))
    costs = _take_turns(
        rounds,
        {
            "GET": lambda: server_cost(server, database, _download(server, "/logs/", answer)),
            "psql": lambda: command_cost(_psql_out(database, again), database),
        },
    )
    if answer.read_bytes() != b"[" + lines.read_bytes().rstrip().replace(b"\n", b",") + b"]":
        sys.exit("The server answered other bytes than psql wrote.")
    _report("GET of everything", costs, {"GET": ("psql", TARGETS["get"])})
    after = peak_memory(tree(server.process.pid))
    print(f"  Most memory of the server's processes: {before:.0f} MiB before, {after:.0f} after: {after - before:+.1f}")


def _measure_import(where: Workspace, database: str, lines: Path, rounds: int) -> None:
    logs, actions = where.folder / "logs.copy", where.folder / "actions.copy"
    empty = where.new_database("transfer_empty")
    manage(empty, "migrate", "--verbosity", "0")
    run(_psql(database, rf"\copy (SELECT {LOG_COLUMNS} FROM logs_log ORDER BY id) TO '{logs}'"), ROOT)
    run(_psql(database, rf"\copy (SELECT {ACTION_COLUMNS} FROM logs_action ORDER BY id) TO '{actions}'"), ROOT)
    copy = [
        rf"\copy logs_log ({LOG_COLUMNS}) FROM '{logs}'",
        rf"\copy logs_action ({ACTION_COLUMNS}) FROM '{actions}'",
    ]

    def fresh() -> str:
        return where.new_database("transfer_in", template=empty)

    def by_psql() -> Cost:
        target = fresh()
        return command_cost(_psql(target, *copy), target)

    def by_command() -> Cost:
        target = fresh()
        cost = command_cost([PYTHON, "manage.py", "importlogs", str(lines)], target)
        again = where.folder / "again.ndjson"
        run(_psql_out(target, again), ROOT)
        if again.read_bytes() != lines.read_bytes():
            sys.exit("importlogs stored something else than the file says.")
        return cost

    costs = _take_turns(rounds, {"importlogs": by_command, "psql": by_psql})
    _report("Import into a fresh database", costs, {"importlogs": ("psql", TARGETS["import"])})


def _measure_known(where: Workspace, database: str, lines: Path, rounds: int) -> None:
    stored = lines.read_bytes().count(b'"type":')
    store = where.new_database("transfer_known")
    run([PYTHON, "-m", "benchmarks.sample", str(10 * stored), str(DAYS), "0"], ROOT, environment(store))
    known, changed = where.folder / "known.ndjson", where.folder / "changed.ndjson"
    run(_psql_out(store, known, f"{LINES} LIMIT {stored // ACTIONS_A_LOG}"), ROOT)
    runs = count()

    def importlogs(old: bytes, new: bytes, *options: str) -> Callable[[], Cost]:
        def measured() -> Cost:
            changed.write_bytes(known.read_bytes().replace(old, new % next(runs)) if old else known.read_bytes())
            return command_cost([PYTHON, "manage.py", "importlogs", str(changed), *options], store)

        return measured

    changes = {
        "new logs": (b'"userId":"', b'"userId":"%d-'),
        "new actions": (b'"properties":{', b'"properties":{"run":%d,'),
    }
    contestants = {name: importlogs(*change) for name, change in changes.items()}
    contestants |= {f"{name} --again": importlogs(*change, "--again") for name, change in changes.items()}
    costs = _take_turns(rounds, {**contestants, "stored actions": importlogs(b"", b"")})
    pairs = {name: (f"{name} --again", LOOK_TARGET) for name in changes}
    _report("Import into a store of ten times as much", costs, pairs)


def _measure_export(where: Workspace, database: str, lines: Path, rounds: int) -> None:
    file, packed = where.folder / "export.ndjson", where.folder / "export.ndjson.gz"
    again, again_packed = where.folder / "again.ndjson", where.folder / "again.ndjson.gz"

    def exportlogs(target: Path, *options: str) -> Callable[[], Cost]:
        command = [PYTHON, "manage.py", "exportlogs", "-o", str(target), *options]
        return lambda: command_cost(command, database)

    def psql(output: Path | str, target: Path) -> Callable[[], Cost]:
        script = f"{shlex.join(_psql_out(database, output))} && {shlex.join(['sync', str(target)])}"
        return lambda: command_cost(["sh", "-c", script], database)

    costs = _take_turns(
        rounds,
        {
            "exportlogs": exportlogs(file),
            "psql": psql(again, again),
            "exportlogs, gzipped": exportlogs(packed),
            "psql | gzip -6": psql(f"|gzip -6 > {shlex.quote(str(again_packed))}", again_packed),
            "exportlogs of nothing": exportlogs(where.folder / "nothing.ndjson", "--user", "nobody"),
        },
    )
    for written in (file.read_bytes(), gzip.decompress(packed.read_bytes())):
        if written != lines.read_bytes():
            sys.exit("exportlogs wrote other bytes than psql.")
    pairs = {"exportlogs": ("psql", TARGETS["export"]), "exportlogs, gzipped": ("psql | gzip -6", TARGETS["export"])}
    _report("Export to a file", costs, pairs)


PARTS: dict[str, Callable[[Workspace, str, Path, int], None]] = {
    "get": _measure_get,
    "import": _measure_import,
    "known": _measure_known,
    "export": _measure_export,
}


def _take_turns(rounds: int, contestants: Mapping[str, Callable[[], Cost]]) -> Costs:
    costs: Costs = {name: [] for name in contestants}
    for number in range(rounds):
        # Nobody follows the same one every time.
        for name in contestants if number % 2 == 0 else reversed([*contestants]):
            costs[name].append(contestants[name]())
    return costs


def _report(title: str, costs: Costs, pairs: Mapping[str, tuple[str, float]]) -> None:
    print_medians(title, COST_HEADINGS, costs)
    for ours, (theirs, target) in pairs.items():
        pair = costs[ours], costs[theirs]
        wall = ratio(*([cost.wall for cost in side] for side in pair))
        cpu = ratio(*([cost.own_cpu + (cost.database_cpu or 0) for cost in side] for side in pair))
        print(f"  {ours} / {theirs}: wall {wall}, at most {target}; all CPU {cpu}")


def _download(server: Server, path: str, file: Path) -> Iterator[bytes]:
    """Write an answer to a file while it comes in; exit if it is not complete."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"GET {path}: {response.status} {response.read(1000)!r}")
        with file.open("wb") as target:
            while piece := response.read(READ_BYTES):
                target.write(piece)
                yield piece
    finally:
        connection.close()


def _psql(database: str, *commands: str) -> list[str]:
    options = [option for command in commands for option in ("-c", command)]
    return ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database, *options]


def _psql_out(database: str, target: Path | str, lines: str = LINES) -> list[str]:
    """The command by which psql writes lines to a file, or to a shell's command after a |."""
    return [*_psql(database, f"COPY ({lines}) TO STDOUT"), "--output", str(target)]


if __name__ == "__main__":
    main()

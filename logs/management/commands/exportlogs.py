"""Write logs to a file or to stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import CommandError, CommandParser

from logs.api.query import LogQuery
from logs.api.renderers import ARRAY, LINES, render
from logs.lib.errors import ErrorCode
from logs.lib.transactions import snapshot
from logs.management.base import MaintenanceCommand, user_argument
from logs.management.progress import Progress
from logs.models import ActionRecord
from logs.store.read import ROWS_AT_ONCE
from logs.transfer.exporting import Writable, complete_file, gzipped, render_csv

_HELP = """\
Write logs to a file, or to stdout, in the order and form in which GET /logs/ answers.

All of it is one snapshot of the store, taken in memory that does not grow, while writers go on. A file appears under
its name only when it is complete. What importlogs makes of an export is the same store: the same export again.
"""
_EXAMPLES = """\
  manage.py exportlogs -o logs.ndjson.gz
  manage.py exportlogs -o october.csv --from 2018-10-01T00:00:00-06:00 --to 2018-10-31T23:59:59-06:00
  manage.py exportlogs --user ABC123XYZ --types CLICK,VIEW | head
"""

_RENDERERS: dict[str, Callable[[Iterable[ActionRecord]], Iterator[bytes]]] = {
    "ndjson": partial(render, layout=LINES),
    "json": partial(render, layout=ARRAY),
    "csv": render_csv,
}
_PARAMETERS = {"user": "userId", "from": "from", "to": "to", "types": "types"}


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "No file was written under that name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "-o", "--output", metavar="FILE", default="-", help="where to; gzipped if it ends in .gz; - is stdout"
        )
        parser.add_argument(
            "--format",
            choices=_RENDERERS,
            help="ndjson: one log a line; json: one array; csv: one action a row."
            " The name's ending says it otherwise, and ndjson is the default",
        )
        parser.add_argument("--user", metavar="ID", type=user_argument, help="only this user's logs")
        parser.add_argument("--from", metavar="TIME", help="only actions at or after this time")
        parser.add_argument("--to", metavar="TIME", help="only actions at or before this time")
        parser.add_argument(
            "--types", metavar="TYPE,…", action="append", help="only actions of these types: CLICK, VIEW, NAVIGATE"
        )

    def handle(self, *, output: str, format: str | None, **options: Any) -> None:
        query = _query(options)
        renderer = _RENDERERS[format or _format_of(output)]
        with self.progress("exportlogs", "actions") as progress, ExitStack() as stack:
            file = _Stdout(self.stdout) if output == "-" else stack.enter_context(complete_file(Path(output)))
            target = stack.enter_context(gzipped(file)) if output.endswith(".gz") else file
            _write(query, renderer, target, progress)
        if output != "-":
            self.stdout.write(f"Written to {output}: {progress.count:,} actions.")


class _Stdout:
    """Bytes to stdout, or text to what stands in for it."""

    def __init__(self, stdout: Any) -> None:
        self._binary = getattr(stdout, "buffer", None)
        self._stdout = stdout

    def write(self, data: bytes) -> None:
        if self._binary is not None:
            self._binary.write(data)
            self._binary.flush()
        else:
            self._stdout.write(data.decode(), ending="")


def _query(options: dict[str, Any]) -> LogQuery:
    given = {name: options[option] for option, name in _PARAMETERS.items() if options[option] is not None}
    for name, value in given.items():
        # Over HTTP an empty parameter is an absent one; here it is a variable that was not set.
        if "" in (value if isinstance(value, list) else [value]):
            raise CommandError(f"{name}: {ErrorCode.INVALID_PARAMETER.name}: the value is empty.")
    return LogQuery(urlencode(given, doseq=True, errors="surrogateescape"))


def _write(query: LogQuery, renderer: Callable, target: Writable, progress: Progress) -> None:
    # Closed before the snapshot ends, whatever ends it.
    with snapshot(), closing(query.records(query.page()).iterator(chunk_size=ROWS_AT_ONCE)) as records:
        for chunk in renderer(_counted(records, progress)):
            target.write(chunk)


def _counted(records: Iterable[ActionRecord], progress: Progress) -> Iterator[ActionRecord]:
    waiting = 0
    for record in records:
        yield record
        waiting += 1
        if waiting == ROWS_AT_ONCE:
            progress.advance(waiting)
            waiting = 0
    progress.advance(waiting)


def _format_of(name: str) -> str:
    endings: Sequence[str] = Path(name.removesuffix(".gz")).suffix[1:].lower().split()
    return next((ending for ending in endings if ending in _RENDERERS), "ndjson")

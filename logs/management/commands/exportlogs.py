"""Write logs to a file or to stdout."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import CommandError, CommandParser
from django.utils.text import get_text_list

from logs.api.query import LogQuery
from logs.lib.errors import ErrorCode
from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, operator, user_argument
from logs.store.access_records import selection_in_words
from logs.transfer.exporting import CSV_COLUMNS, FORMATS, RecordedExport, complete_file, gzipped
from logs.transfer.manifests import Blocks, Digest, Manifest, manifest_path

_HELP = f"""\
Write logs to a file, or to stdout, in the order and form in which GET /logs/ answers.

All of it is one snapshot of the store, taken in memory that does not grow, while writers go on. A file appears under
its name only when it is complete; it keeps the mode of the file that it replaces. importlogs makes the same store of an
export as NDJSON or JSON; beside a file of these, FILE.manifest.json holds what verifybackup proves it by.

CSV is for people: one action a row, with the columns {", ".join(CSV_COLUMNS[:5])} and so on, and all
properties as JSON in the last one. Where a text begins with = + - @, a tab or a carriage return, a ' is written in
front of it, so that no spreadsheet takes it for a formula; the properties column has every text as it is.
"""
_EXAMPLES = """\
  python manage.py exportlogs -o logs.ndjson.gz
  python manage.py exportlogs -o october.csv --from 2018-10-01T00:00:00-06:00 --to 2018-10-31T23:59:59-06:00
  python manage.py exportlogs --user ABC123XYZ --types CLICK,VIEW | head
"""

_DEFAULT_FORMAT = "ndjson"
_ENDINGS = {**{f".{name}": name for name in FORMATS}, ".jsonl": "ndjson"}
_PARAMETERS = {"user": "userId", "from": "from", "to": "to", "types": "types"}


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "No file was written under that name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "-o",
            "--output",
            metavar="FILE",
            default="-",
            help="the file to write, gzipped if its name ends in .gz; - is stdout (default)",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            help="ndjson: one log a line; json: one array of logs; csv: one action a row"
            f" (default: what the file's name says, {_DEFAULT_FORMAT} where it has no ending)",
        )
        parser.add_argument("--user", metavar="ID", type=user_argument, help="only this user's logs")
        parser.add_argument("--from", metavar="TIME", help="only actions at or after this time")
        parser.add_argument("--to", metavar="TIME", help="only actions at or before this time")
        parser.add_argument(
            "--types", metavar="TYPE,…", action="append", help="only actions of these types: CLICK, VIEW, NAVIGATE"
        )

    def handle(self, *, output: str, format: str | None, **options: Any) -> None:
        query = _query(options)
        format_name = format or _format_of(output)
        path = None if output == "-" else Path(output)
        selection = selection_in_words({name: options[name] for name in ("from", "to", "types")}, options["user"])
        content = Blocks()
        with self.progress("exportlogs", "actions") as progress, ExitStack() as stack:
            file = Digest(_Stdout(self.stdout) if path is None else stack.enter_context(complete_file(path)))
            target = stack.enter_context(gzipped(file)) if output.lower().endswith(".gz") else file
            export = RecordedExport(
                query.actions(), FORMATS[format_name], operator(), selection, options["user"] or "", progress.advance
            )
            for chunk in stack.enter_context(closing(export)):
                target.write(chunk)
                content.update(chunk)
            if path is not None:
                # That of an older file must not stand beside the new one, whenever this ends.
                manifest_path(path).unlink(missing_ok=True)
        if path is not None:
            if path.is_file() and format_name != "csv":
                Manifest(selection, format_name, export.logs, export.actions, file.sha256, content.digests).write(path)
            self.stdout.write(f"Written to {output}: {count_of(progress.count, 'action')}.")


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

    def flush(self) -> None:
        self._stdout.flush()


def _query(options: dict[str, Any]) -> LogQuery:
    parameters = {name: options[option] for option, name in _PARAMETERS.items() if options[option] is not None}
    for name, value in parameters.items():
        # Over HTTP an empty parameter is an absent one; here it is a variable that was not set.
        if "" in (value if isinstance(value, list) else [value]):
            raise CommandError(f"{name}: {ErrorCode.INVALID_PARAMETER.name}: the value is empty.")
    return LogQuery(urlencode(parameters, doseq=True, errors="surrogateescape"))


def _format_of(output: str) -> str:
    # Not Path.suffix, which takes .xlsx for a name without an ending.
    _, dot, ending = Path(output.lower()).name.removesuffix(".gz").rpartition(".")
    if not dot or not ending:
        return _DEFAULT_FORMAT
    if f".{ending}" not in _ENDINGS:
        known = get_text_list(list(_ENDINGS), "or")
        raise CommandError(f"{output}: the ending .{ending} says no format: use {known}, or say --format.")
    return _ENDINGS[f".{ending}"]

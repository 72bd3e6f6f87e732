"""Store the logs of files, or of stdin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from logs.lib import jsontext
from logs.lib.errors import MAX_VIOLATIONS
from logs.management.base import MaintenanceCommand
from logs.transfer.importing import Importer, ImportResult, RefusedImportError, Reject
from logs.transfer.sources import Source, SourceError

_SHOWN_REJECTS = 10

_HELP = """\
Store the logs of files, or of stdin, by the same rules as POST /logs/.

A file is a JSON array of logs, NDJSON (one log a line), or what mongoexport wrote of the old service's collection,
each as it is or gzipped: that is found out by itself.

Logs are stored in chunks of about two megabytes. A run that was interrupted, at whatever moment, is started again with
the same command: what is stored already is not stored twice. The same goes for a file that was imported before; one
that has grown since brings only what is new. Memory does not grow with the file, but with its longest log, which may
have 256 MiB.
"""
_EXAMPLES = """\
  manage.py importlogs logs.ndjson.gz
  manage.py importlogs mongo.json --on-error skip --rejects rejects.ndjson
  mongoexport --db app --collection log | manage.py importlogs -
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "Whole chunks are stored; run the same command again to go on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", metavar="FILE", nargs="+", help="a file to read, - for stdin")
        parser.add_argument(
            "--on-error",
            choices=["stop", "skip"],
            default="stop",
            help="at a log that breaks a rule: stop, with nothing of its chunk stored (default), or skip that log",
        )
        parser.add_argument(
            "--rejects",
            metavar="FILE",
            type=Path,
            help="where skipped logs go, written anew by every run: one a line, with its line, its file and its errors."
            " Mended there, the lines can be imported as they are.",
        )
        parser.add_argument("--dry-run", action="store_true", help="validate only, store nothing")
        parser.add_argument(
            "--again",
            metavar="NAME",
            default="",
            help="store the files even if they were imported before, say to bring back what was purged; any NAME will"
            " do that was not used before, and the same NAME to go on",
        )

    def handle(self, *, files: Sequence[str], on_error: str, rejects: Path | None, **options: Any) -> None:
        if (on_error == "skip") != (rejects is not None):
            raise CommandError("--on-error skip and --rejects FILE go together: no log may be lost.")
        if rejects is not None and any(_is_same_file(rejects, name) for name in files):
            raise CommandError(f"{rejects} is also read: name another file for the rejects.")
        total = ImportResult()
        with ExitStack() as stack:
            sources = [(name, stack.enter_context(Source(name))) for name in files]
            sizes = [source.size for _, source in sources]
            rejects_file = None if rejects is None else stack.enter_context(rejects.open("wb"))
            progress = stack.enter_context(self.progress("importlogs", "B", None if None in sizes else sum(sizes)))
            for name, source in sources:
                seen = 0

                def show(result: ImportResult, source: Source = source) -> None:
                    nonlocal seen
                    progress.advance(source.position - seen)
                    seen = source.position

                importer = Importer(
                    on_reject=rejects_file and partial(_write_reject, rejects_file, name),
                    dry_run=options["dry_run"],
                    name=options["again"],
                    on_chunk=show,
                    result=total,
                )
                try:
                    importer.run(source.logs())
                except RefusedImportError as error:
                    raise CommandError(_refusal(name, error.rejects, total)) from None
                except SourceError as error:
                    raise CommandError(f"{name}: {error} {_so_far(total)}") from None
        self.stdout.write(_summary(total, options["dry_run"]))


def _write_reject(file: BinaryIO, name: str, reject: Reject) -> None:
    if isinstance(reject.value, dict):
        log = reject.value
    else:
        log = {"text": reject.source.text.decode(errors="surrogateescape")}
    errors = [violation.as_json() for violation in reject.violations[:MAX_VIOLATIONS]]
    line = jsontext.encode({**log, "file": name, "line": reject.source.line, "errors": errors})
    # Lone surrogates, and bytes that are not UTF-8, are written as the escapes that JSON has for them.
    file.write(line.encode(errors="backslashreplace") + b"\n")
    # There to look at however the run ends; the run that goes on writes it once more.
    file.flush()


def _is_same_file(path: Path, name: str) -> bool:
    return path.exists() and os.path.samestat(os.stat(0 if name == "-" else name), path.stat())


def _refusal(name: str, rejects: Sequence[Reject], total: ImportResult) -> str:
    lines = [
        f"{name}, line {reject.source.line}: {violation.pointer}: {violation.code.name}:"
        f" {violation.detail or violation.code.sentence}"
        for reject in rejects[:_SHOWN_REJECTS]
        for violation in reject.violations[:1]
    ]
    if len(rejects) > _SHOWN_REJECTS:
        lines.append(f"… and {len(rejects) - _SHOWN_REJECTS} more logs of the same chunk.")
    return "\n".join([*lines, _so_far(total)])


def _so_far(total: ImportResult) -> str:
    return f"Nothing of this chunk is stored; {total.actions + total.known_actions:,} actions before it are."


def _summary(total: ImportResult, dry_run: bool) -> str:
    words = [f"{'Valid' if dry_run else 'Stored'}: {total.actions:,} actions in {total.logs:,} logs."]
    if total.known_logs:
        words.append(f"Stored by an earlier run: {total.known_actions:,} actions in {total.known_logs:,} logs.")
    if total.rejected:
        words.append(f"Rejected: {total.rejected:,} logs.")
    return " ".join(words + (["Nothing was stored: --dry-run."] if dry_run else []))

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
from logs.lib.limits import MAX_VIOLATIONS
from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand
from logs.management.progress import Progress
from logs.transfer.importing import Importer, ImportResult, OtherImportError, RefusedImportError
from logs.transfer.rejects import Reject
from logs.transfer.sources import Source, SourceError, readable_size

_SHOWN_REJECTS = 10

_HELP = """\
Store the logs of files, or of stdin, by the same rules as POST /logs/.

A file is a JSON array of logs, NDJSON (one log a line), or what mongoexport wrote of the old service's collection, and
may be gzipped; the command sees which.

What is stored already is not stored again: an action equal in user, session, time, type and properties to a stored one
is the same one. Of two equal actions in a file both are stored, and no third one comes of importing it again. So a file
may be imported twice, have grown since, or be the store's own export; and a run that was interrupted at any moment goes
on when the same command is given again.

Logs are stored in chunks of about two megabytes. Memory does not grow with the file, only with its longest log, which
may have 256 MiB.
"""
_EXAMPLES = """\
  python manage.py importlogs logs.ndjson.gz
  python manage.py importlogs mongo.json --on-error skip --rejects rejects.ndjson
  mongoexport --db app --collection log | python manage.py importlogs -
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
            help="what to do at a log that breaks a rule: stop without storing anything of its chunk (default), or skip"
            " that log",
        )
        parser.add_argument(
            "--rejects",
            metavar="FILE",
            type=Path,
            help="where to write the logs that are skipped: one a line, with the file and line it came from and its"
            " errors. Correct them there and import that file. Every run overwrites it",
        )
        parser.add_argument("--dry-run", action="store_true", help="validate only, store nothing")
        parser.add_argument(
            "--again",
            action="store_true",
            help="store even what is stored already. Do not give such a command again after an interruption: its first"
            " part would be stored once more",
        )

    def handle(self, *, files: Sequence[str], on_error: str, rejects: Path | None, **options: Any) -> None:
        if (on_error == "skip") != (rejects is not None):
            raise CommandError("--on-error skip and --rejects FILE go together, so that no log gets lost.")
        if rejects is not None and any(_is_same_file(rejects, name) for name in files):
            raise CommandError(f"{rejects} is one of the files to import: name another one for --rejects.")
        # Before anything is stored; and one is open at a time, because there may be more than a process may open.
        sizes = [readable_size(name) for name in files]
        is_dry = options["dry_run"]
        total = ImportResult()
        with ExitStack() as stack:
            rejects_file = None if rejects is None else stack.enter_context(rejects.open("wb"))
            progress = stack.enter_context(self.progress("importlogs", "B", _sum(sizes)))
            for name in files:
                importer = Importer(
                    on_reject=None if rejects_file is None else partial(_write_reject, rejects_file, name),
                    dry_run=is_dry,
                    again=options["again"],
                    result=total,
                )
                try:
                    _import_file(name, importer, progress)
                except RefusedImportError as error:
                    raise CommandError(_refusal(name, error.rejects, total, is_dry)) from None
                except (SourceError, OtherImportError) as error:
                    raise CommandError(f"{name}: {error} {_so_far(total, is_dry)}") from None
        self.stdout.write(_summary(total, is_dry))


def _import_file(name: str, importer: Importer, progress: Progress) -> None:
    with Source(name) as source:
        before = progress.count
        importer.on_chunk = lambda result: progress.advance(before + source.position - progress.count)
        importer.run(source.logs())


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _write_reject(file: BinaryIO, name: str, reject: Reject) -> None:
    if isinstance(reject.value, dict):
        log = reject.value
    else:
        log = {"text": reject.source.text.decode(errors="surrogateescape")}
    errors: list[jsontext.JSONValue] = [{**violation.as_json()} for violation in reject.violations[:MAX_VIOLATIONS]]
    line = jsontext.encode({**log, "file": name, "line": reject.source.line, "errors": errors})
    # Lone surrogates, and bytes that are not UTF-8, are written as the escapes that JSON has for them.
    file.write(line.encode(errors="backslashreplace") + b"\n")
    # There to look at however the run ends; the run that goes on writes it once more.
    file.flush()


def _is_same_file(path: Path, name: str) -> bool:
    return path.exists() and os.path.samestat(os.stat(0 if name == "-" else name), path.stat())


def _refusal(name: str, rejects: Sequence[Reject], total: ImportResult, is_dry: bool) -> str:
    lines = [
        f"{name}, line {reject.source.line}: {violation.pointer}: {violation.code.name}:"
        f" {violation.detail or violation.code.sentence}"
        for reject in rejects[:_SHOWN_REJECTS]
        for violation in reject.violations[:1]
    ]
    if len(rejects) > _SHOWN_REJECTS:
        lines.append(f"… and {count_of(len(rejects) - _SHOWN_REJECTS, 'more log')} of the same chunk.")
    return "\n".join([*lines, _so_far(total, is_dry)])


def _so_far(total: ImportResult, is_dry: bool) -> str:
    before = total.actions + total.known_actions
    if is_dry or not before:
        return "Nothing was stored."
    return f"{count_of(before, 'action')} of what came before {'is' if before == 1 else 'are'} stored."


def _summary(total: ImportResult, is_dry: bool) -> str:
    words = [f"{'Valid' if is_dry else 'Stored'}: {_actions_in_logs(total.actions, total.logs)}."]
    if total.known_actions:
        words.append(f"There already: {count_of(total.known_actions, 'action')}.")
    if total.rejected:
        words.append(f"Rejected: {count_of(total.rejected, 'log')}.")
    return " ".join([*words, "Nothing was stored: this was a dry run."] if is_dry else words)


def _actions_in_logs(actions: int, logs: int) -> str:
    return f"{count_of(actions, 'action')} in {count_of(logs, 'log')}"

"""Prove that exported files can be restored, and hold what was exported."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import CommandError, CommandParser

from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand
from logs.transfer.manifests import Blocks, Manifest, ManifestError, manifest_path

_MANAGE = Path(__file__).parents[3] / "manage.py"

_HELP = """\
Prove that exported files can be restored, and hold what was exported.

Each file is read into a new SQLite store, by importlogs and under every rule, and exported from there again. Both must
be what the export said of itself in FILE.manifest.json: how many logs and actions, and digests of what they say. Where
they are not, the place is named, and the exit code is 1.

The new store is in a folder beside the file, needs about three times the space of the uncompressed file, and is
deleted. The store itself is not looked at.
"""
_EXAMPLES = """\
  python manage.py verifybackup /var/backups/logs-2018-10-18.ndjson.gz
  python manage.py verifybackup /var/backups/*.ndjson.gz
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "Nothing was proved."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files", metavar="FILE", nargs="+", type=_file_argument, help="a file that exportlogs wrote"
        )

    def handle(self, *, files: Sequence[Path], **options: Any) -> None:
        bad = 0
        for file in files:
            try:
                manifest = Manifest.read(file)
                findings = list(self._findings(file, manifest))
            except FileNotFoundError as error:
                findings = [_why_missing(file, error)]
            except ManifestError as error:
                findings = [str(error)]
            for finding in findings:
                self.stdout.write(f"{file}: {finding}")
            if not findings:
                held = f"{count_of(manifest.actions, 'action')} in {count_of(manifest.logs, 'log')}"
                self.stdout.write(f"{file}: good: {held}, exported {manifest.exported}.")
            bad += bool(findings)
        if bad:
            raise CommandError(f"{count_of(bad, 'file')} of {len(files):,} can't be relied on.")

    def _findings(self, file: Path, manifest: Manifest) -> Iterator[str]:
        """Yield what is wrong with a file, each with its place as far as that can be told."""
        difference = self._difference(file, manifest)
        if difference is not None:
            yield difference
        # Beside the file there is room for it.
        with TemporaryDirectory(dir=file.parent, prefix=".verifybackup-") as folder:
            store = _Store(Path(folder))
            store.manage("migrate", "--verbosity", "0", "--skip-checks")
            if store.manage("importlogs", file).returncode:
                yield "it can't be restored, for the reason above."
                return
            again = Path(folder) / f"again.{manifest.format}"
            store.manage("exportlogs", "--output", again)
            restored = Manifest.read(again)
            for what, is_there, expected in (
                ("log", restored.logs, manifest.logs),
                ("action", restored.actions, manifest.actions),
            ):
                if is_there != expected:
                    yield f"restored, it is {count_of(is_there, what)} instead of {expected:,}."
            if difference is None and list(restored.blocks) != list(manifest.blocks):
                blocks = Blocks()
                blocks.read(again)
                yield f"restored, it says something else {_place(blocks, manifest)}."

    def _difference(self, file: Path, manifest: Manifest) -> str | None:
        """Return how a file differs from the one that was exported, None where it does not."""
        with self.progress("verifybackup", "B", file.stat().st_size) as progress, file.open("rb") as raw:
            digest = hashlib.sha256()
            while piece := raw.read(1 << 20):
                digest.update(piece)
                progress.advance(len(piece))
        if digest.hexdigest() == manifest.sha256:
            return None
        blocks = Blocks()
        try:
            blocks.read(file)
        except ValueError as error:
            return f"its gzip stream breaks off at line {blocks.lines[-1]:,}: {error}."
        if list(blocks.digests) == list(manifest.blocks):
            return "its bytes are not those that were exported, but what they say is."
        return f"it is not what was exported: it differs {_place(blocks, manifest)}."


class _Store:
    """A store of its own in a folder, and manage.py beside it."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder / 'store.sqlite3'}"}

    def manage(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run a command, whose progress and errors are shown."""
        return subprocess.run(  # noqa: S603
            [sys.executable, _MANAGE, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )


def _place(blocks: Blocks, manifest: Manifest) -> str:
    """Return where a content begins to differ from that of a manifest, to within a block."""
    pairs = zip(blocks.digests, manifest.blocks, strict=False)
    same = next((index for index, (one, other) in enumerate(pairs) if one != other), len(blocks.digests) - 1)
    start = 1 if same == 0 else blocks.lines[same - 1]
    return f"between line {start:,} and line {max(start, blocks.lines[same]):,}"


def _why_missing(file: Path, error: FileNotFoundError) -> str:
    if file.suffix == ".csv" or file.name.endswith(".csv.gz"):
        return "a CSV can't be restored: export NDJSON or JSON."
    if not manifest_path(file).exists():
        return (
            f"there is no {manifest_path(file).name}, which exportlogs writes beside a file. What went to stdout, or"
            " came from a version before 1.1, can't be proved."
        )
    return f"{error.filename}: {error.strerror}."


def _file_argument(text: str) -> Path:
    if not Path(text).is_file():
        raise ArgumentTypeError(f"{text}: there is no such file")
    return Path(text).resolve()

"""What an exported file says of itself, in a file beside it: by which a backup is proved."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from logs import __version__
from logs.lib import times
from logs.transfer.exporting import Writable, complete_file

# Where two files differ is told to within so many bytes of their uncompressed content.
BLOCK_BYTES = 1 << 20

_READ_BYTES = 1 << 16


class ManifestError(Exception):
    """A file that is no manifest: which, and why."""


class Digest:
    """A file that is written to, with the SHA-256 of all that was written to it."""

    def __init__(self, file: Writable) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


class Blocks:
    """The SHA-256 of each BLOCK_BYTES of a content, the last one perhaps shorter, and the line that each begins in."""

    def __init__(self) -> None:
        self._digests: list[str] = []
        self._sha256, self._length = hashlib.sha256(), 0
        self.lines = [1]

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view) >= BLOCK_BYTES - self._length:
            head = view[: BLOCK_BYTES - self._length]
            view = view[len(head) :]
            self._add(head)
            self._digests.append(self._sha256.hexdigest())
            self._sha256, self._length = hashlib.sha256(), 0
            self.lines.append(self.lines[-1])
        self._add(view)

    def read(self, file: Path) -> None:
        """Take in an exported file, uncompressed. Raises OSError, and ValueError where its gzip stream breaks off."""
        for piece in _content(file):
            self.update(piece)

    def _add(self, data: memoryview) -> None:
        self._sha256.update(data)
        self._length += len(data)
        self.lines[-1] += bytes(data).count(b"\n")

    @property
    def digests(self) -> Sequence[str]:
        return [*self._digests, self._sha256.hexdigest()]


@dataclass(frozen=True)
class Manifest:
    """What an exported file says of itself.

    selection: in words.
    format: one of exporting.FORMATS.
    logs, actions: how many it holds.
    sha256: of the file's bytes, in hexadecimal.
    blocks: the digests of its content: see Blocks.
    version, exported: of which store it is, and since when, in UTC.
    """

    selection: str
    format: str
    logs: int
    actions: int
    sha256: str
    blocks: Sequence[str]
    version: str = __version__
    exported: str = field(default_factory=lambda: times.format_utc(datetime.now(UTC)))

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """Read the manifest of an exported file. Raises OSError without one, and ManifestError for one that is none."""
        path = manifest_path(file)
        try:
            manifest = cls(**json.loads(path.read_bytes()))
        except (ValueError, TypeError):
            raise ManifestError(f"{path} is no manifest of an export.") from None
        return manifest

    def write(self, file: Path) -> None:
        """Write the manifest of an exported file beside it. Raises OSError."""
        with complete_file(manifest_path(file)) as target:
            target.write(json.dumps(asdict(self), indent=1).encode() + b"\n")


def manifest_path(file: Path) -> Path:
    """Return where the manifest of an exported file is."""
    return file.with_name(f"{file.name}.manifest.json")


def _content(file: Path) -> Iterator[bytes]:
    with file.open("rb") as raw:
        is_gzipped = raw.peek(1)[:1] == b"\x1f"
    with gzip.open(file) if is_gzipped else file.open("rb") as stream:
        while True:
            try:
                piece = stream.read(_READ_BYTES)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(str(error)) from None
            if not piece:
                return
            yield piece

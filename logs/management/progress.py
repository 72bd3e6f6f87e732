"""How far a command has come, on stderr: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Never, TextIO

from tqdm import tqdm

from logs.lib.text import count_of

SECONDS_BETWEEN_LINES = 10

# The monitor is a thread that redraws a bar nobody has moved.
tqdm.monitor_interval = 0


class Progress:
    """A count that rises towards a total, shown with its rate and the time left.

    stream: where it is shown.
    label: the words in front.
    unit: what is counted, in the plural; "B" is bytes.
    total: None where it is not known.
    """

    def __init__(self, stream: TextIO, label: str, unit: str, total: int | None = None) -> None:
        self.count = 0
        self._stream, self._total = stream, total
        self._label, self._unit = label, unit if unit == "B" else f" {unit}"
        self._started = self._shown = time.monotonic()
        self._bar: tqdm[Never] | None = None
        if stream.isatty():
            self._bar = tqdm(
                file=stream,
                desc=label,
                unit=self._unit,
                unit_scale=True,
                total=total,
                dynamic_ncols=True,
                bar_format=self._layout("|{bar}| "),
            )

    def advance(self, count: int = 1) -> None:
        """Count some more."""
        self.count += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._write_line()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._write_line()

    def _layout(self, bar: str = "") -> str | None:
        """Return tqdm's format of the numbers, None for its own, which writes a count of 6 as 6.00, as if of bytes."""
        if self._unit == "B":
            return None
        if self._total:
            counts = "{n:,} of {total:,}{unit} [{elapsed}<{remaining}, {rate_fmt}]"
            return f"{{desc}}: {{percentage:.0f}}% {bar}{counts}"
        counted = "{n:,}{unit}" if bar else count_of(self.count, self._unit.strip().removesuffix("s"))
        return f"{{desc}}: {counted} [{{elapsed}}, {{rate_fmt}}]"

    def _write_line(self) -> None:
        self._shown = time.monotonic()
        layout = self._layout()
        line = tqdm.format_meter(
            self.count,
            # 0 stands for a total that is not known.
            self._total or 0,
            self._shown - self._started,
            # Without columns tqdm's own format has no bar, only the numbers.
            ncols=None if layout else 0,
            prefix=self._label,
            unit=self._unit,
            unit_scale=True,
            bar_format=layout,
        )
        self._stream.write(f"{line.strip()}\n")
        self._stream.flush()

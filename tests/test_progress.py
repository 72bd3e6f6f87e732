"""Progress: a bar for people at a terminal, lines for those who read it later."""

from __future__ import annotations

import io
import time

import pytest

from logs.management import progress
from logs.management.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_rate_and_time_left():
    stream = Terminal()
    with Progress(stream, "importlogs", "actions", total=1000) as shown:
        time.sleep(0.2)
        shown.advance(500)
    last = stream.getvalue().split("\r")[-1]
    assert "50%" in last
    assert "|#####     |" in last
    assert "500 of 1,000 actions" in last
    assert "actions/s" in last


@pytest.mark.parametrize("total, line", [(1000, "50% 500 of 1,000 actions"), (None, "500 actions")])
def test_anything_else_gets_plain_lines_from_time_to_time(monkeypatch, total, line):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    stream = io.StringIO()
    with Progress(stream, "importlogs", "actions", total) as shown:
        shown.advance(250)
        shown.advance(250)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "\r" not in stream.getvalue()
    assert line in lines[-1]
    assert "actions/s" in lines[-1]


@pytest.mark.parametrize("total, line", [(1, "exportlogs: 100% 1 of 1 actions ["), (None, "exportlogs: 1 action [")])
def test_a_count_is_a_whole_number(total, line):
    stream = io.StringIO()
    with Progress(stream, "exportlogs", "actions", total) as shown:
        shown.advance(1)
    assert stream.getvalue().startswith(line)


def test_a_terminal_is_told_a_count_without_a_total():
    stream = Terminal()
    with Progress(stream, "exportlogs", "actions") as shown:
        shown.advance(1234)
    assert "exportlogs: 1,234 actions [" in stream.getvalue()


def test_a_quick_command_says_once_how_far_it_came():
    stream = io.StringIO()
    with Progress(stream, "importlogs", "B", total=10) as shown:
        shown.advance(10)
    assert stream.getvalue().startswith("importlogs: 100% 10.0/10.0")
    assert stream.getvalue().count("\n") == 1

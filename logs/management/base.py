"""The base of every maintenance command: exit codes, interrupts, progress, and types of arguments."""

from __future__ import annotations

import os
import pwd
import signal
import sys
import threading
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn, TextIO

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import Error, connection

from logs.lib import times
from logs.lib.database import NOT_MIGRATED, explain, is_unavailable
from logs.lib.errors import ErrorCode, LogStoreError
from logs.lib.jsontext import has_forbidden_character
from logs.management.progress import Progress
from logs.models import Log

# What a shell reports for a program that a signal ended. https://tldp.org/LDP/abs/html/exitcodes.html
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


class MaintenanceCommand(BaseCommand):
    """A command that ends with one clear line and a telling exit code, whatever stops it.

    help, examples: shown by --help as they are laid out.
    if_interrupted: what to do after Ctrl-C or SIGTERM.
    """

    examples = ""
    if_interrupted = "Run the same command again to go on."
    requires_migrations_checks = False
    # Who may call the API, and how safely, is not the matter of a command.
    requires_system_checks = [Tags.models]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.update(epilog=f"examples:\n{self.examples}", formatter_class=_HelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self._progress_stream: TextIO = options.get("stderr") or sys.stderr
        try:
            with _terminated_like_interrupted():
                _require_tables()
                return super().execute(*args, **options)
        except KeyboardInterrupt as error:
            returncode = EXIT_TERMINATED if isinstance(error, _Terminated) else EXIT_INTERRUPTED
            raise CommandError(f"Interrupted. {self.if_interrupted}", returncode=returncode) from None
        except BrokenPipeError:
            _forget_stdout()
            raise SystemExit(EXIT_BROKEN_PIPE) from None
        except LogStoreError as error:
            raise CommandError(_sentence(error)) from None
        except Error as error:
            if not is_unavailable(error):
                raise
            raise CommandError(f"{explain(error)} {self.if_interrupted}") from None
        except OSError as error:
            raise CommandError(f"{error.filename or 'A file'}: {error.strerror or error}") from None

    def progress(self, label: str, unit: str, total: int | None = None) -> Progress:
        """Return a progress display on stderr."""
        return Progress(self._progress_stream, label, unit, total)


class _HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """The command's own options first, and its text as it is laid out."""


def time_argument(text: str) -> datetime:
    """Return the instant of a command's argument, in the format of the wire."""
    try:
        return times.parse_time(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r}: {times.why_refused(text)}") from None


def user_argument(text: str) -> str:
    """Return the user of a command's argument; an empty one, say of an unset variable, would choose everybody."""
    if not text:
        raise ArgumentTypeError("a user id must not be empty")
    if has_forbidden_character(text):
        raise ArgumentTypeError(ErrorCode.INVALID_CHARACTER.sentence)
    return text


def operator() -> str:
    """Return who runs the command, for the records of erasures and accesses; no user of the admin is named like it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # In a container the number may be all there is.
        name = str(os.getuid())
    return f"{name} (command)"


def count_argument(text: str) -> int:
    """Return a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _require_tables() -> None:
    if Log._meta.db_table not in connection.introspection.table_names():
        raise CommandError(NOT_MIGRATED)


def _sentence(error: LogStoreError) -> str:
    first = error.violations[0] if error.violations else None
    place = f"{first.parameter}: " if first and first.parameter else ""
    return f"{place}{error.code.name}: {error.detail}"


class _Terminated(KeyboardInterrupt):
    pass


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Clean up before SIGTERM, of a service manager or a container that stops, ends the process."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main one may have handlers.
        yield
        return

    def terminate(number: int, frame: object) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget_stdout() -> None:
    # The interpreter flushes stdout once more as it ends. https://docs.python.org/3/library/signal.html#note-on-sigpipe
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())

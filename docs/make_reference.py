"""Make the reference pages that are tables of what the code says: `python docs/make_reference.py`.

With --check nothing is written, and the exit code is 1 where a page is stale.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
# Nothing that is printed here depends on it.
os.environ.setdefault("SECRET_KEY", "of-the-reference-pages")

import django  # noqa: E402  after the settings are named
from django.core.management import BaseCommand, get_commands, load_command_class  # noqa: E402

from logs.lib.errors import ErrorCode  # noqa: E402

_MADE = "<!-- Made by `python docs/make_reference.py`: change {source} and run that. -->"
_OUR_PACKAGES = ("logs", "logstore_project")

_find_section = re.compile(r"# --- (.+?) -*").fullmatch
# A line that is commented out has an example and no default: `# WEB_CONCURRENCY=2`.
_find_setting = re.compile(r"(# )?([A-Z][A-Z0-9_]*)=(.*)").fullmatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a page is stale")
    is_check = parser.parse_args().check
    django.setup()
    stale = [path for path, text in _pages() if not path.exists() or path.read_text() != text]
    if is_check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"Stale: {names}. Run: python docs/make_reference.py")
    if not is_check:
        for path, text in _pages():
            path.write_text(text)


def _pages() -> Iterator[tuple[Path, str]]:
    folder = ROOT / "docs" / "reference"
    yield folder / "errors.md", "\n".join(_errors()) + "\n"
    yield folder / "settings.md", "\n".join(_settings((ROOT / ".env.example").read_text())) + "\n"
    yield folder / "commands.md", "\n".join(_commands()) + "\n"
    yield folder / "permissions.md", "\n".join(_permissions()) + "\n"


def _permissions() -> Iterator[str]:
    # Only now: it needs the models.
    from tests.test_who_may_what import ADMIN, API, OTHER_METHODS, WITHOUT_TOKEN

    yield _MADE.format(source="tests/test_who_may_what.py")
    yield from [
        "",
        "# Who may do what",
        "",
        "Every address of the store, with what each caller gets by each method. The tests send all of these",
        "requests, and fail for an address that is not here. A refusal always has [the error body](errors.md).",
        "",
        "## The API",
        "",
        "The status with `LOGSTORE_AUTH=keys`, and in the last column with `LOGSTORE_AUTH=open`, whoever asks. A",
        "session of the admin opens nothing here. `?key=KEY` is looked at on a POST alone; whoever may read logs",
        "without it gets a 400 with it, as with any unknown parameter.",
        "",
        API.strip(),
        "",
        "## The admin",
        "",
        "What a member of staff needs: all permissions that are named, or those behind an `or`; `any` stands for all",
        "staff, `nobody` keeps superusers out, too. With them the status is 200, or the one behind the arrow; without",
        "them it is 403, or the one behind `else`. The last column has the status for everybody else, also for users",
        "who are no staff: 302 leads to the login. API keys open nothing here.",
        "",
        f"Any method but GET, HEAD and POST gets {OTHER_METHODS}. A POST that does not come from a form of the",
        f"admin's own, with its token, gets {WITHOUT_TOKEN} from every address, whoever sends it; so does any other",
        "method that might change something.",
        "",
        ADMIN.strip(),
    ]


def _errors() -> Iterator[str]:
    yield _MADE.format(source="logs/lib/errors.py")
    yield from [
        "",
        "# Errors",
        "",
        "Every error that the store answers with. The sentence is the error's `detail`, where there is nothing more",
        "exact to say. [The API](api.md#errors) shows the form of the whole answer, and what a client does about it.",
        "",
    ]
    yield from _table(
        ("status", "code", "sentence"), ((str(code.status), f"`{code.name}`", code.sentence) for code in ErrorCode)
    )


def _settings(example: str) -> Iterator[str]:
    yield _MADE.format(source=".env.example")
    yield from [
        "",
        "# Settings",
        "",
        "Every setting comes from the environment, or from a file `.env` beside `manage.py`; the environment wins.",
        "[.env.example](../../.env.example) is such a file to begin with. `make run` needs none of them: it makes a",
        "secret in `.secret_key`, where `manage.py` finds it. Every other start needs `SECRET_KEY`.",
        "",
        "A duration is a number and a unit, such as `30s`, `5m`, `1h` or `90d`; a number alone is seconds. The start",
        "tells all wrong values at once.",
    ]
    rows: list[tuple[str, str, str]] = []
    # The first paragraph is about the file itself.
    for paragraph in re.split(r"\n{2,}", example.strip())[1:]:
        lines = paragraph.splitlines()
        section = _find_section(lines[0])
        if section:
            yield from _settings_table(rows)
            rows = []
            yield from ("", f"## {section[1]}", "")
            lines = lines[1:]
        settings = [match for match in map(_find_setting, lines) if match]
        text = " ".join(line.removeprefix("#").strip() for line in lines if not _find_setting(line))
        if settings:
            defaults: dict[str, str] = {}
            for is_example, name, value in (match.groups() for match in settings):
                defaults[name] = "none" if is_example else f"`{value}`" if value else "empty"
                if is_example and value:
                    text += f" For example `{name}={value}`."
            rows.append(("<br>".join(f"`{name}`" for name in defaults), "<br>".join(defaults.values()), text))
        elif text:
            # It stands alone, such as how durations are written.
            yield from _settings_table(rows)
            rows = []
            yield from ("", text, "")
    yield from _settings_table(rows)


def _settings_table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    if rows:
        yield from _table(("setting", "default", "meaning"), rows)


def _commands() -> Iterator[str]:
    yield _MADE.format(source="the command")
    yield from [
        "",
        "# Commands",
        "",
        "The commands that the store adds to Django's, as their `--help` describes them. After `. .venv/bin/activate`",
        "each is `python manage.py NAME`, on every machine and in the image. Results go to stdout, progress to stderr.",
        "The exit code is 0 only when all went well. Ctrl-C is safe at any moment: the same command, run again,",
        "goes on.",
        "",
        "Django's own commands are there as well: `migrate`, `check`, `collectstatic`, `createsuperuser`,",
        "`changepassword`, `dbshell` and [others](https://docs.djangoproject.com/en/5.2/ref/django-admin/).",
    ]
    of_django = {action.dest for action in BaseCommand().create_parser("manage.py", "any")._actions}
    for name, app in sorted(get_commands().items()):
        if isinstance(app, BaseCommand) or app.split(".")[0] not in _OUR_PACKAGES:
            continue
        command = load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        actions = [action for action in parser._actions if action.dest not in of_django]
        usage = ["python manage.py", name, *(_name_of(action) for action in actions if not action.option_strings)]
        yield from ("", f"## {name}", "", f"`{' '.join(usage)}{' [options]' if _has_options(actions) else ''}`", "")
        yield command.help.strip()
        if actions:
            yield ""
            yield from _table(
                ("argument", "meaning"),
                (
                    (f"`{_name_of(action)}`{' (required)' if _is_required(action) else ''}", _help(action))
                    for action in actions
                ),
            )
        examples = str(getattr(command, "examples", "")).rstrip()
        if examples:
            written = examples
            yield from ("", "```text", *(line.removeprefix("  ") for line in written.splitlines()), "```")


def _has_options(actions: Iterable[argparse.Action]) -> bool:
    return any(action.option_strings for action in actions)


def _is_required(action: argparse.Action) -> bool:
    return action.required and bool(action.option_strings)


def _name_of(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else None
    if value is None and action.choices:
        value = "|".join(map(str, action.choices))
    value = value or action.dest.upper()
    if action.nargs == "+":
        value += " …"
    if not action.option_strings:
        return value
    takes_value = action.nargs != 0
    return ", ".join(action.option_strings) + (f" {value}" if takes_value else "")


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "manage.py"}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    main()

"""The documentation, done: its commands run in their order, its links lead somewhere, its tables are fresh.

In README.md, the tutorial and the how-to guides every fenced block is one of these:

- ```sh: run, in an empty folder with manage.py, deploy/ and examples/ in it, beside a server; all of its commands must
  succeed;
- ```json or ```text right after it: what it prints, … standing for anything;
- ```crontab: each of its commands is run once;
- ```console, or json and text elsewhere: under a comment that says why it is not run or compared,
  <!-- not run: it needs a second machine -->;
- in another language, such as ```nginx: part of a file, which nobody runs.

A comment <!-- on: sqlite --> or <!-- on: postgresql --> says that a block belongs to one database.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connection
from markdown_it import MarkdownIt

from tests.citus import skip_on_citus
from tests.cluster import skip_or_fail
from tests.commandline import administer
from tests.server import PROJECT, Server, database_url, environment

RUN = [
    PROJECT / "README.md",
    PROJECT / "docs" / "tutorial.md",
    *sorted((PROJECT / "docs" / "how-to").glob("*.md")),
]
PAGES = sorted(
    path
    for path in PROJECT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(PROJECT).parts)
)
PROGRAMS = ["bash", "curl", "gzip", "jq", "sqlite3", "psql", "pg_dump", "pg_restore", "createdb"]
OUTPUTS = ("json", "text")
SHELLS = ("", "bash", "console", "shell")
# What changes the machine is for its owner to run.
changes_the_machine = re.compile(r"^\s*(sudo|apt|apt-get|docker|make|pip|systemctl)\b", re.MULTILINE).search
parse = MarkdownIt("commonmark").enable("table").parse


@dataclass
class Block:
    """A fenced block. note: the comment above it; output: what it prints, where the page says."""

    language: str
    text: str
    line: int
    note: str = ""
    output: Block | None = None


@dataclass
class Page:
    """What is checked of a page. loose: the blocks that are neither run nor excused."""

    blocks: list[Block] = field(default_factory=list)
    loose: list[Block] = field(default_factory=list)


def read_page(path: Path) -> Page:
    page, last, note = Page(), None, ""
    for token in parse(path.read_text()):
        if token.type != "fence":
            last, note = None, token.content if token.type == "html_block" else ""
            continue
        block = Block(token.info, token.content, token.map[0] + 1, note)
        if last and block.language in OUTPUTS:
            last.output = block
        elif block.language in ("sh", "crontab"):
            page.blocks.append(block)
        elif block.language in OUTPUTS + SHELLS and not re.search(r"<!-- not run: .{5,} -->", note):
            page.loose.append(block)
        last, note = (block if block.language == "sh" else None), ""
    return page


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.name)
def test_what_is_not_run_says_why(path):
    page = read_page(path)
    assert [f"line {block.line}: {block.language}" for block in page.loose] == []
    assert [f"line {block.line}" for block in page.blocks if changes_the_machine(block.text)] == []


@pytest.fixture(scope="module")
def running(tmp_path_factory, django_db_setup, django_db_blocker):
    log = tmp_path_factory.mktemp("docs") / "log"
    with django_db_blocker.unblock(), Server(log) as server:
        yield server


@pytest.fixture
def folder(tmp_path, transactional_db):
    """A folder as a reader has it, with the store's data in logstore.sqlite3 where that is SQLite."""
    for name in ("manage.py", "deploy", "examples"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    if connection.vendor == "sqlite":
        (tmp_path / "logstore.sqlite3").symlink_to(connection.settings_dict["NAME"])
    (tmp_path / "backup").mkdir()
    yield tmp_path
    if connection.vendor == "postgresql":
        administer(f'DROP DATABASE IF EXISTS "{_restored()}"')


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.name)
def test_its_commands_run(path, running, folder):
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        skip_or_fail(f"not installed: {', '.join(missing)}")
    if path.name == "tutorial.md":
        skip_on_citus("shows what one server prints")
    # Names that stand for the reader's own, and what they are here.
    here = {
        "127.0.0.1:8000": f"127.0.0.1:{running.port}",
        "logstore_restored": _restored(),
        "/srv/logstore": str(folder),
        "/var/backups": f"{folder}/backup",
        "/var/log/": f"{folder}/",
    }
    # As after `. .venv/bin/activate`.
    settings = environment(DATABASE_URL=database_url(), PATH=f"{folder}/.venv/bin{os.pathsep}{os.environ['PATH']}")
    for block in read_page(path).blocks:
        only = re.search(r"<!-- on: (\w+) -->", block.note)
        if only and only[1] != connection.vendor:
            continue
        for script in [] if changes_the_machine(block.text) else _scripts(block):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", _replaced(script, here)],
                cwd=folder,
                env=settings,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            place = f"{path.name}, line {block.line}"
            assert done.returncode == 0, f"{place}:\n{script}\n{done.stdout}{done.stderr}"
            if block.output:
                expected = _replaced(block.output.text, here)
                assert _matches(done.stdout, expected), f"{place} prints:\n{done.stdout}{done.stderr}"


def _restored() -> str:
    return f"{connection.settings_dict['NAME']}_restored"


def _replaced(text: str, here: dict[str, str]) -> str:
    for name, value in here.items():
        text = text.replace(name, value)
    return text


def _scripts(block: Block) -> list[str]:
    if block.language == "sh":
        return [block.text]
    # crontab(5): five fields, and a % that is not escaped ends the command.
    lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
    return [line.split(maxsplit=5)[5].replace("\\%", "%") for line in lines]


def _matches(printed: str, expected: str) -> bool:
    printed, expected = (_compact(text) for text in (printed, expected))
    return re.fullmatch(re.escape(expected).replace("…", ".*?"), printed, re.DOTALL) is not None


def _compact(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize(
    "printed, expected, is_so",
    [
        ('{"a":1,"b":[2]}', '{"a": 1,\n "b": [2]}', True),
        ('{"a":1}', '{"a": 2}', False),
        ("ls_12ab: made today", "ls_…: made …", True),
        ("one\ntwo\nthree", "one\n…\nthree", True),
        ("one", "one two", False),
    ],
)
def test_what_is_printed_is_compared(printed, expected, is_so):
    assert _matches(printed, expected) is is_so


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_its_links_lead_to_files_and_headings_that_exist(path):
    dead = []
    for link in _links(path):
        name, _, heading = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (heading and heading not in _headings(target)):
            dead.append(link)
    assert dead == []


def _links(path: Path) -> list[str]:
    """The links and pictures of a page that are not to another host."""
    inline = [child for token in parse(path.read_text()) for child in token.children or []]
    found = [str(child.attrs.get("href") or child.attrs.get("src") or "") for child in inline]
    return [link for link in found if link and not re.match(r"[a-z]+:", link)]


def _headings(path: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them; of two alike the second one has -1."""
    tokens = parse(path.read_text())
    fragments: list[str] = []
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children or [])
            plain = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = sum(re.fullmatch(rf"{re.escape(plain)}(-\d+)?", fragment) is not None for fragment in fragments)
            fragments.append(f"{plain}-{count}" if count else plain)
    return set(fragments)


def test_its_tables_are_those_of_the_code():
    checked = subprocess.run(
        [sys.executable, "docs/make_reference.py", "--check"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_page_is_in_the_index():
    linked = {(PROJECT / "docs" / link).resolve() for link in _links(PROJECT / "docs" / "README.md")}
    pages = set((PROJECT / "docs").rglob("*.md")) - {PROJECT / "docs" / "README.md"}
    assert sorted(str(page.relative_to(PROJECT)) for page in pages - linked) == []

"""Every input that the fuzzer found of use, against the property of its kind: see targets.py."""

from __future__ import annotations

import pytest

from tests.fuzz import CORPUS, MAX_INPUT_BYTES
from tests.targets import TARGETS, World, try_out

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_breaks_its_property(name):
    world = World()
    paths = sorted((CORPUS / name).iterdir())
    assert len(paths) >= 3
    for path in paths:
        try:
            try_out(world, name, path.read_bytes())
        except Exception as error:
            error.add_note(f"The input is {path}: {path.read_bytes()!r}")
            raise


def test_the_corpus_stays_small():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(TARGETS)
    assert len(files) <= 500
    assert sum(path.stat().st_size for path in files) <= 300 * 1024
    assert max(path.stat().st_size for path in files) <= MAX_INPUT_BYTES

"""Taking an array apart without decoding it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.transfer import sources
from logs.transfer.sources import Source, SourceError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda members: st.lists(members) | st.dictionaries(st.text(), members),
)


def texts(path, content):
    path.write_bytes(content)
    with Source(str(path)) as source:
        return [(log.index, log.line, log.text) for log in source.logs()]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("sources") / "array.json"


@settings(max_examples=50)
@given(values=st.lists(JSON, min_size=1), indent=st.sampled_from([None, 0, 1]), size=st.integers(1, 40))
def test_an_array_is_cut_into_the_texts_of_its_elements_wherever_a_read_ends(path, values, indent, size):
    content = json.dumps(values, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "READ_BYTES", size)
        found = texts(path, content)
    assert [json.loads(text) for _, _, text in found] == values
    assert [index for index, _, _ in found] == list(range(len(values)))
    lines = content.split(b"\n")
    assert all(text.split(b"\n")[0] in lines[line - 1] for _, line, text in found)


def test_an_empty_array_has_no_logs(path):
    assert texts(path, b" [ \n ] \n") == []


@pytest.mark.parametrize("content", [b'[{"userId": "long"}]', b'{"userId": "long"}\n'], ids=["array", "line"])
def test_a_log_that_would_not_fit_into_memory_is_refused_with_its_line(path, content, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LOG_BYTES", 10)
    monkeypatch.setattr(sources, "READ_BYTES", 15)
    with pytest.raises(SourceError, match="Line 1: a log is longer"):
        texts(path, content)

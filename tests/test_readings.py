"""The three ways in which a batch is read agree: the fast one, the one of long bodies, and field by field."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from logs.api import bodies, plain, serializers
from logs.api.bodies import Body
from logs.lib import jsontext
from tests.builders import a_log, a_view, as_lines
from tests.readings import as_if_long, assert_readings_agree, reading

seeds = st.integers(0, 2**48)
many = settings(max_examples=400)

# --- JSON texts of batches, nearly as they should be -----------------------------------------------------------------

NUMBERS = [
    "0",
    "-0",
    "-0.0",
    "1.10",
    "1e5",
    "1E5",
    "1e+5",
    "1.5e1",
    "1e22",
    "1E400",
    "-1E400",
    "1e-400",
    "0e99999999999999999999",
    "1e99999999999999999999",
    "-1e-99999999999999999999",
    "9007199254740991",
    "9007199254740991.4",
    "9007199254740992",
    "-9007199254740992",
    "4503599627370497",
    "4503599627370496.5",
    "1e15",
    "0.30000000000000004",
    "18446744073709551616",
    "9223372036854775808",
]
NUMBERS += ["1" * 400, "0." + "1" * 400, "1" + "0" * 400 + "e-400"]
BROKEN = [
    "NaN",
    "-Infinity",
    "Infinity",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "nul",
    "tru",
    "'a'",
    '"\t"',
    '"\\x"',
    '"\\u00g0"',
    "",
    "]",
    "}",
    '"',
]
STRINGS = [
    *("a", "é", "\u2028", "\U0001f600", "\\", '"', "[", "{", "]]", "},{", "/"),
    *(
        "\\u0000",
        "\0",
        "\ud800",
        "\udc00",
        "\udc00\ud800",
        "\ud83d\\",
        "a\nb",
        "\x7f",
        "x" * 300,
        "é" * 255,
        "\U0001f600" * 256,
        "y" * 2049,
        "z" * 20_000,
    ),
]
TIMES = [
    "2018-10-18T21:37:28-06:00",
    "0001-01-01T00:00:00-06:00",
    "9999-12-31T17:59:59-06:00",
    "9999-12-31T23:59:59-06:00",
    "2016-02-29T00:00:00-06:00",
    "2017-02-29T00:00:00-06:00",
    "2018-10-18T24:00:00-06:00",
    "2018-10-18T21:37:60-06:00",
    "2018-10-18T21:37:28Z",
    "2018-10-18t21:37:28-06:00",
    "2018-10-18T21:37:28.5-06:00",
    "٢018-10-18T21:37:28-06:00",
]
SHORT_STRINGS = [text for text in STRINGS if len(text) < 10]
NAMES = [
    "userId",
    "sessionId",
    "actions",
    "time",
    "type",
    "properties",
    "locationX",
    "locationY",
    "viewedId",
    "pageFrom",
]
BLANKS = [" ", "\t", "\r", " " * 40, " " * 20_000, "\n", "  \r\n "]


class Writer:
    """Writes random batches as JSON text, the same for the same seed.

    longest: of the strings in properties.
    """

    def __init__(self, seed: int, is_ndjson: bool = False, longest: int = 3_000) -> None:
        self.random = random.Random(seed)
        self.mischief = self.random.choice([0, 0.01, 0.05, 0.2])
        self.blanks = self.random.choice([0, 0, 0.05, 0.5])
        self.escapes = self.random.choice([0, 0, 0.1, 0.9])
        self.is_ndjson = is_ndjson
        self.texts = [text for text in STRINGS if len(text) <= longest]

    def is_mischievous(self) -> bool:
        return self.random.random() < self.mischief

    def batch(self) -> bytes:
        logs = [self.log() for _ in range(self.random.choice([0, 1, 1, 2, 3, 8]))]
        if self.is_ndjson:
            lines = [line + self.random.choice(["", "", "\r", " "]) for line in logs]
            lines = [
                line for each in lines for line in ([each, self.blank()] if self.random.random() < 0.1 else [each])
            ]
            if self.is_mischievous() and len(lines) > 1:
                lines[:2] = [lines[0] + lines[1]]
            text = "\n".join(lines) + self.random.choice(["", "\n"])
        else:
            text = self.array(logs)
        data = bytearray(text.encode())
        if self.is_mischievous() and data:
            place = self.random.randrange(len(data))
            data[place : place + self.random.randrange(3)] = self.random.choice(
                [b"", b"\xff", b"\xed\xa0\x80", b"\0", b"[", b"}", b'"', b",", b"\n", b"\x0b", b"\xef\xbb\xbf"]
            )
        return bytes(data)

    def log(self) -> str:
        actions = [self.action() for _ in range(self.random.choice([0, 1, 1, 2, 5]) if self.is_mischievous() else 2)]
        return self.object([("userId", self.id()), ("sessionId", self.id()), ("actions", self.array(actions))])

    def action(self) -> str:
        action_type = self.random.choice(["CLICK", "VIEW", "NAVIGATE"])
        members = {
            "CLICK": [("locationX", self.number()), ("locationY", self.number())],
            "VIEW": [("viewedId", self.text())],
            "NAVIGATE": [("pageFrom", self.text()), ("pageTo", self.text())],
        }[action_type]
        if self.random.random() < 0.2:
            members.append((self.random.choice(["other", "x", "", "non_field_errors"]), self.anything()))
        time = self.random.choice(TIMES) if self.is_mischievous() else "2018-10-18T21:37:28-06:00"
        return self.object(
            [("time", self.string(time)), ("type", self.string(action_type)), ("properties", self.object(members))]
        )

    def id(self) -> str:
        return self.string(self.random.choice(STRINGS)) if self.is_mischievous() else self.string("ab é")

    def text(self) -> str:
        return self.string(self.random.choice(self.texts)) if self.is_mischievous() else self.string("v é")

    def number(self) -> str:
        return self.random.choice(NUMBERS) if self.is_mischievous() else self.random.choice(["52", "0", "-1.50"])

    def anything(self, depth: int = 0) -> str:
        match self.random.randrange(9):
            case 0 | 1:
                return self.random.choice(NUMBERS)
            case 2 | 3:
                return self.string(self.random.choice(SHORT_STRINGS))
            case 4:
                return self.random.choice(["null", "true", "false", '""', "[]", "{}", "[ ]", "{ }"])
            case 5 if self.is_mischievous():
                return self.random.choice(BROKEN)
            case 6 if depth < 3:
                return self.array([self.anything(depth + 1) for _ in range(self.random.randrange(4))])
            case 7 if depth < 3:
                return self.object([(self.random.choice(NAMES), self.anything(depth + 1)) for _ in range(3)])
            case 8 if self.is_mischievous():
                levels = self.random.choice([57, 58, 59, 60, 61, 62, 63, 64, 65, 70])
                return "[" * levels + "]" * levels
            case _:
                return "1"

    def array(self, texts: list[str]) -> str:
        return f"[{self.joined([self.spaced(text) for text in texts])}]"

    def object(self, members: list[tuple[str, str]]) -> str:
        for index in range(len(members)):
            if self.is_mischievous():
                name, text = members[index]
                match self.random.randrange(5):
                    case 0:
                        members[index] = (self.random.choice([*NAMES, "x", name + "\0", name.upper()]), text)
                    case 1:
                        members[index] = (name, self.anything())
                    case 2:
                        members.insert(self.random.randrange(len(members) + 1), (name, self.anything()))
                    case 3:
                        members.append((self.random.choice([*NAMES, *STRINGS]), self.anything()))
                    case _:
                        self.random.shuffle(members)
        if self.is_mischievous() and members:
            members.pop()
        return (
            "{" + self.joined([f"{self.spaced(self.string(name))}:{self.spaced(text)}" for name, text in members]) + "}"
        )

    def joined(self, texts: list[str]) -> str:
        return ",".join(texts) if texts else self.blank()

    def string(self, text: str) -> str:
        return f'"{"".join(map(self.character, text))}"'

    def character(self, character: str) -> str:
        is_plain = character >= " " and character not in '"\\' and not "\ud800" <= character <= "\udfff"
        if is_plain and self.random.random() >= self.escapes:
            return character
        units = character.encode("utf-16-be", "surrogatepass")
        style = self.random.choice(["\\u{:04x}", "\\u{:04X}"])
        if character in '"\\/' and self.random.random() < 0.5:
            return "\\" + character
        return "".join(style.format(int.from_bytes(units[at : at + 2])) for at in range(0, len(units), 2))

    def spaced(self, text: str) -> str:
        return self.blank() + text + self.blank()

    def blank(self) -> str:
        if self.random.random() >= self.blanks:
            return ""
        # A line of NDJSON has no line feed, unless by mischief.
        is_one_line = self.is_ndjson and not self.is_mischievous()
        return self.random.choices(BLANKS, [8, 8, 8, 8, 0.2, *([0, 0] if is_one_line else [8, 8])])[0]


# --- The readings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_ndjson", [False, True], ids=["json", "ndjson"])
@many
@given(seed=seeds)
def test_a_body_says_what_its_decoded_value_says(is_ndjson, seed):
    content = Writer(seed, is_ndjson).batch()
    note(repr(content[:5_000]))
    assert_readings_agree(content, is_ndjson)


@pytest.mark.parametrize("is_ndjson", [False, True], ids=["json", "ndjson"])
@many
@given(seed=seeds)
def test_a_long_body_says_what_its_decoded_value_says(is_ndjson, seed):
    # A member that another of the same name replaces counts in the length of a text, but not in that of its value.
    content = Writer(seed, is_ndjson, longest=300).batch()
    note(repr(content[:5_000]))
    with as_if_long(2_000):
        assert_readings_agree(content, is_ndjson)


def test_most_usual_batches_are_read_the_fast_way():
    contents = [Writer(seed).batch() for seed in range(300)]
    valid = [
        content for content in contents if isinstance(rows := reading(Body(content)), list) and type(rows[0]) is dict
    ]
    fast = [content for content in valid if plain.read_plain(content, False, serializers.read_other_properties)]
    assert len(valid) > 100
    assert len(fast) > 0.9 * len(valid)


LONG = "x" * bodies.SMALL_BYTES
ODD = {
    "no actions but blanks": ({**a_log(a_view()), "junk": LONG}, '"actions": [', '"actions": [ ] , "ignored": ['),
    "no user but blanks": (a_log(a_view()), '"userId": "ABC123XYZ"', f'"userId": [{" " * bodies.SMALL_BYTES}]'),
    "an action of other members alone": (a_log({"junk": LONG}), "", ""),
    "an action of blanks": (a_log({"junk": 1}), '"junk": 1', " " * bodies.SMALL_BYTES),
    "properties of escapes": (a_log(a_view(other="A" * 32_000)), "A", "\\u0041"),
    "properties of blanks": (a_log(a_view()), '"viewedId"', f'{" " * bodies.SMALL_BYTES} "viewedId"'),
    "a forbidden character in a long user": (a_log(a_view(), user=LONG + "\0"), "", ""),
}


@pytest.mark.parametrize("is_ndjson", [False, True], ids=["json", "ndjson"])
@pytest.mark.parametrize("name", ["properties", "\\u0070roperties", "propert\\u0069es"])
@pytest.mark.parametrize("value", ["1e99999999999999999999", "1e9", "[" * 65 + "]" * 65, '"\\ud800"'])
def test_properties_that_come_twice_are_looked_at_both_times(is_ndjson, name, value):
    log = as_lines(a_log(a_view())).decode().replace('"properties"', f'"{name}":{value},"properties"')
    assert_readings_agree((log if is_ndjson else f"[{log}]").encode(), is_ndjson)


@pytest.mark.parametrize("is_ndjson", [False, True], ids=["json", "ndjson"])
@pytest.mark.parametrize("log, old, new", ODD.values(), ids=ODD)
def test_an_odd_body_that_is_long_says_what_its_decoded_value_says(is_ndjson, log, old, new):
    text = json.dumps(log).replace(old, new) if old else json.dumps(log)
    assert len(text) > bodies.SMALL_BYTES - 10_000
    assert_readings_agree((text if is_ndjson else f"[{text}]").encode(), is_ndjson)


LINE = json.dumps(a_log(a_view())).encode()


@pytest.mark.parametrize(
    "content",
    [LINE.replace(b", ", b",\n"), LINE + LINE, LINE + b" " + LINE, LINE.replace(b"{", b"{\n", 1) + LINE],
    ids=["a log on many lines", "two logs on a line", "with a blank between", "both"],
)
def test_a_line_is_one_log(content):
    assert ("INVALID_JSON", "/0") in reading(Body(content, is_ndjson=True))
    assert_readings_agree(content, is_ndjson=True)


# --- JSON texts ------------------------------------------------------------------------------------------------------


@many
@given(seed=seeds)
def test_a_check_takes_what_decoding_takes(seed):
    content = Writer(seed).batch()
    note(repr(content[:5_000]))

    def takes(work: Callable[[], object]) -> bool:
        try:
            work()
        except ValueError:
            return False
        return True

    is_json = takes(lambda: jsontext.decode(content.decode()))
    assert takes(lambda: jsontext.check(jsontext.without_lone_surrogates(content))) == is_json
    assert takes(lambda: jsontext.check_utf8(content)) == takes(content.decode)


@many
@given(seed=seeds)
def test_the_parts_of_a_text_are_those_of_its_value(seed):
    text = Writer(seed).anything().encode("utf-8", "surrogatepass")
    note(repr(text[:5_000]))
    try:
        value = jsontext.decode(text.decode())
    except ValueError:
        return
    safe = jsontext.without_lone_surrogates(text)
    assert jsontext.decode(jsontext.compact(text).decode()) == value
    assert len(jsontext.compact(text)) <= len(text)
    assert jsontext.compact(jsontext.indented(text.decode()).encode()) == jsontext.compact(text)
    assert jsontext.encode(jsontext.decode(jsontext.encode(value))) == jsontext.encode(value)
    if isinstance(value, str):
        assert jsontext.has_forbidden_escape(safe) == jsontext.has_forbidden_character(value)
    if isinstance(value, list):
        assert [jsontext.decode(element.decode()) for element in jsontext.elements(text)] == value
    if isinstance(value, dict):
        parts = {name: jsontext.decode(member.decode()) for name, member in jsontext.members(text)}
        assert list(parts.items()) == list(value.items())


@pytest.mark.parametrize("size", [1, 16, 17, 65_536, 70_001])
@pytest.mark.parametrize(
    "unit", ['"a b"', '"\\n\\ud800"', '"\\ud83d\\ude00 \\udc00"', "1 ", "[ ]", '{"a" : "\\\\ud800" }']
)
def test_a_text_is_the_same_at_the_ends_of_the_runs_in_which_it_is_changed(unit, size):
    text = f"[{', '.join([unit] * (size // len(unit) + 1))}]".encode()
    value = jsontext.decode(text.decode())
    assert jsontext.decode(jsontext.compact(text).decode()) == value
    without = jsontext.decode(jsontext.without_lone_surrogates(text).decode())
    assert jsontext.encode(without) == re.sub("[\ud800-\udfff]", "\\\\u0000", jsontext.encode(value))

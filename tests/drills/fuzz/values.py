"""JSON texts that are valid and hard to digest, or nearly valid."""

import json
from collections.abc import Callable
from random import Random
from typing import Any


class Raw(str):
    """A part of a JSON text that is written as it is."""


# What parsers, checks and arithmetic stumbled over: overflow, underflow, no JSON, too many digits.
NUMBERS = (
    *("1e308", "-1e308", "1e400", "-1e400", "5e-324", "1e-300", "NaN", "Infinity", "-Infinity"),
    *("0", "-0", "-0.0", "-1", "1", "0.1e1", "01", "1.", ".5", "0x10", "1e999999999", "1e1e1"),
    *(str(2**31), str(2**53 + 1), str(2**63), str(-(2**63) - 1), str(2**64), "9" * 5000),
)
TEXTS = (
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"a\\u0000b"', '""', '" "', '"\\u202e\\u0301"'),
    *('"1e308"', '"NaN"', '"null"', '"%s%n"', '"../../etc/passwd"', '"<img src=x>"', '"{{7*7}}"'),
    *('"\\n\\r\\t"', '"\\x"', '"\x01"', '"open', "'single'", '"' + "a" * 70_000 + '"'),
    *('"' + "é" * 1000 + '"', '"\\ud83d\\ude00"', '"data:image/png;base64,AAAA"', '"////"'),
)
OTHERS = ("null", "true", "false", "{}", "[]", "[[]]", "[null]", "undefined", "", "//", '{"":0}')
KEYS = (
    '"\\ud800"',
    '"a\\udfff"',
    '""',
    '"\\u0000"',
    '"__class__"',
    '"id"',
    '"' + "k" * 10_000 + '"',
    "1",
    "x",
)
DEPTHS = (30, 200, 500, 5000, 100_000)


def hostile(draw: Random) -> Raw:
    """Return one value."""
    kind = draw.random()
    if kind < 0.04:
        depth = draw.choice(DEPTHS)
        return Raw("[" * depth + "]" * depth)
    if kind < 0.08:
        depth = draw.choice(DEPTHS)
        return Raw('{"a":' * depth + "1" + "}" * depth)
    return Raw(draw.choice(draw.choice((NUMBERS, NUMBERS, TEXTS, TEXTS, OTHERS))))


def to_text(value: Any) -> str:
    """Return the value as JSON; `Raw` parts, of keys as well, stay as they are."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{to_text(key)}:{to_text(each)}" for key, each in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_text, value)) + "]"
    return json.dumps(value)


def mutated(value: Any, draw: Random) -> Any:
    """Return the value with one to three changes somewhere inside."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        changed = _change(changed, draw)
    return changed


def _change(value: Any, draw: Random) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.9:
        return _change_object(value, draw)
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        value[place] = _change(value[place], draw)
        return value
    return draw.choice((hostile(draw), hostile(draw), [value], {"value": value}, str(value)))


def _change_object(value: dict[str, Any], draw: Random) -> dict[str, Any]:
    nested = [name for name, each in value.items() if isinstance(each, (dict, list))]
    # What lies deeper passes more checks before it is looked at.
    name = draw.choice(nested if nested and draw.random() < 0.5 else list(value))
    kind = draw.random()
    if kind < 0.6:
        value[name] = _change(value[name], draw)
    elif kind < 0.75:
        del value[name]
    elif kind < 0.9:
        value[Raw(draw.choice(KEYS))] = hostile(draw)
    elif not isinstance(name, Raw):
        # The same key a second time.
        value[Raw(json.dumps(name))] = hostile(draw)
    return value


def _many(value: Any, draw: Random) -> bytes:
    count = draw.choice((2, 20, 300, 30_000))
    one = to_text(value if len(to_text(value)) * count < 2**20 else {})
    return ("[" + ",".join([one] * count) + "]").encode()


def _cut(value: Any, draw: Random) -> bytes:
    content = to_text(value).encode()
    return content[: draw.randrange(len(content) + 1)]


def _flipped(value: Any, draw: Random) -> bytes:
    content = bytearray(to_text(value).encode() or b" ")
    for _ in range(draw.choice((1, 2, 8))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


# How a body can differ from the JSON that a route expects.
BODIES: dict[str, Callable[[Any, Random], bytes]] = {
    "mutated": lambda value, draw: to_text(mutated(value, draw)).encode("utf-8", "surrogatepass"),
    "several mutated": lambda value, draw: to_text([value, mutated(value, draw)]).encode(
        "utf-8", "surrogatepass"
    ),
    "hostile value": lambda value, draw: hostile(draw).encode("utf-8", "surrogatepass"),
    "many": _many,
    "many empty": lambda value, draw: b"[" + b",".join([b"{}"] * draw.choice((9, 10**5))) + b"]",
    "cut": _cut,
    "flipped": _flipped,
    "empty": lambda value, draw: b"",
    "UTF-16": lambda value, draw: to_text(value).encode("utf-16"),
    "byte order mark": lambda value, draw: b"\xef\xbb\xbf" + to_text(value).encode(),
    "NUL behind it": lambda value, draw: to_text(value).encode() + b"\0" * 10,
    "spaces": lambda value, draw: b" " * draw.choice((10, 10**6)) + to_text(value).encode(),
}

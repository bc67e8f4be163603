"""Bytes of a manifest -> documents of builtins, or a SourceError that names file, line and column.

YAML is read as kubectl reads it: an unquoted date, `=` or `1:20:30` is text. PyYAML composes by recursion in C, and
copies what a merge key (`<<`) names: both are bounded beforehand, on the flat stream of events.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import yaml
from yaml.constructor import SafeConstructor

from clusterdns.errors import SourceError

# Collections within collections. The deepest objects known, custom resource definitions, stay below 60; PyYAML
# overflows the C stack of a thread at some ten thousand, and Python's own limit is 1,000 frames.
MAX_DEPTH = 100
# Nodes that aliases may add to a file: a hundred times the largest EndpointSlice (1,000 endpoints)
MAX_ALIASED = 1_000_000

_TAG = "tag:yaml.org,2002:"
# YAML 1.1 reads `1:20:30` as a number of base 60; as an address or a label it is text (YAML 1.2, 10.3.2).
_NUMBERS = {
    _TAG + "int": re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z"),
    _TAG + "float": re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z"),
}
_TEXT = frozenset({_TAG + "timestamp", _TAG + "value"})
_RESOLVERS = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in rows if tag not in _TEXT]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# libyaml's parser is ten times faster; PyYAML can be built without it.
_Loader: Any = type(
    "_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {"yaml_implicit_resolvers": _RESOLVERS}
)
# What PyYAML lets through when a tagged scalar is not what its tag says (`!!bool maybe`)
_SCALAR_ERRORS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
_OFFSET = re.compile(r"\(byte (\d+)\)")


class _Mark(Protocol):
    line: int
    column: int


def yaml_documents(path: str, raw: bytes) -> Iterator[tuple[int, object]]:
    """Yields the line on which each document begins, and its value.  Raises SourceError `PATH:LINE:COL: what`."""
    _check_text(path, raw)
    try:
        _check_bounds(path, raw)
        for node in yaml.compose_all(raw, _Loader):
            yield node.start_mark.line + 1, _value(path, node)
    except yaml.MarkedYAMLError as error:
        raise SourceError(_marked(path, error)) from error
    except yaml.reader.ReaderError as error:
        raise SourceError(f"{path}:{_place(raw, error.position)}: {error.reason}") from error


def json_document(path: str, raw: bytes) -> msgspec.Raw:
    """The one JSON value of a file, checked but not decoded.  Raises SourceError `PATH:LINE:COL: what`."""
    _check_text(path, raw)
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return msgspec.json.decode(raw, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        offset = _OFFSET.search(str(error))
        place = _place(raw, int(offset[1]) if offset else len(raw))
        raise SourceError(f"{path}:{place}: {_OFFSET.sub('', str(error)).strip()}") from error
    except RecursionError as error:
        raise SourceError(f"{path}:1:1: nests too deep") from error


def _value(path: str, node: yaml.Node) -> object:
    try:
        return SafeConstructor().construct_document(node)
    except _SCALAR_ERRORS as error:
        what = f"this document holds a value that its type does not allow: {error}"
        raise SourceError(f"{path}:{_at(node.start_mark)}: {what}") from error


def _check_text(path: str, raw: bytes) -> None:
    if not raw:
        # Most writers truncate a file before they fill it, so that an empty one is hardly ever meant.
        raise SourceError(f"{path}:1:1: the file is empty; to remove its objects, delete it")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}:{_place(raw, error.start)}: this is not UTF-8 text") from error


def _check_bounds(path: str, raw: bytes) -> None:
    """Raises SourceError for a file that nests too deep, or that its aliases make too large."""
    # Anchor -> nodes it stands for; the open collections as (anchor, nodes before it)
    sizes: dict[str | None, int] = {}
    parents: list[tuple[str | None, int]] = []
    nodes = aliased = 0
    for event in yaml.parse(raw, _Loader):
        nodes += 1
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor, 0)
            aliased += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            parents.append((event.anchor, nodes))
            # Until its end is known: an alias to it from within would have no end
            sizes[event.anchor] = MAX_ALIASED + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = parents.pop()
            sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
        if len(parents) > MAX_DEPTH:
            raise SourceError(f"{path}:{_at(event.start_mark)}: nests deeper than {MAX_DEPTH} levels")
        if aliased > MAX_ALIASED:
            raise SourceError(f"{path}:{_at(event.start_mark)}: aliases make this file grow without bound")


def _marked(path: str, error: yaml.MarkedYAMLError) -> str:
    context = f" {error.context}" if error.context else ""
    return f"{path}:{_at(error.problem_mark or error.context_mark)}: {error.problem}{context}"


def _at(mark: _Mark | None) -> str:
    return f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"


def _place(raw: bytes, offset: int) -> str:
    """Byte offset -> `LINE:COL`, both from 1, the column in characters."""
    begin = raw.rfind(b"\n", 0, offset) + 1
    line = raw.count(b"\n", 0, offset) + 1
    return f"{line}:{len(raw[begin:offset].decode(errors='replace')) + 1}"

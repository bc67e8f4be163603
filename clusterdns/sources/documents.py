"""One manifest file's bytes -> its objects, and what of it cannot be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.manifest import from_json, from_value
from clusterdns.kube.objects import Kind, Upsert, identity
from clusterdns.sources.syntax import json_document, yaml_documents

# Kind, namespace (empty for a Namespace) and name
Identity = tuple[Kind, str, str]

# Group of `apiVersion`: `kind: Service` of another group (serving.knative.dev) is another thing.
_GROUPS = {Kind.NAMESPACE: "", Kind.SERVICE: "", Kind.SLICE: "discovery.k8s.io", Kind.POD: ""}
_KINDS = {kind.value: kind for kind in Kind}
# `ServiceList` and its like are what the API itself sends; their items do not repeat the kind.
_LISTS = {"List": None, **{f"{kind.value}List": kind for kind in Kind}}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be used. `identity`: the object it would have been, where that can be read."""

    text: str
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The objects of one file, in its order; `faults` name file, object and field."""

    objects: Mapping[Identity, Upsert]
    faults: tuple[Fault, ...]


class _Head(msgspec.Struct, gc=False):
    kind: Any = None
    apiVersion: Any = None


class _Items(msgspec.Struct, gc=False):
    items: list[msgspec.Raw] | None = None


def read(path: str, raw: bytes) -> Contents:
    """`path` ending in `.json` is one JSON document, anything else YAML documents.

    Raises SourceError `PATH:LINE:COL: what` when it is no text of that kind, or no list where it says `List`.
    """
    objects: dict[Identity, Upsert] = {}
    faults: list[Fault] = []
    for place, default, item in _items(path, raw):
        try:
            kind = _kind(item, default)
            upsert = _load(kind, item) if kind else None
        except SourceError as error:
            faults.append(Fault(f"{place}: {error}", _identity(item, default)))
            continue
        if upsert is not None:
            faults += _add(objects, place, upsert)
    return Contents(objects, tuple(faults))


def title(own: Identity) -> str:
    """`Service default/web`, `Namespace default`."""
    kind, namespace, name = own
    return f"{kind.value} {namespace}/{name}" if namespace else f"{kind.value} {name}"


def _add(objects: dict[Identity, Upsert], place: str, upsert: Upsert) -> list[Fault]:
    own = identity(upsert.object)
    twice = [f"{title(own)}: metadata.name: is in this file twice; the last one is served"] if own in objects else []
    objects[own] = upsert
    return [Fault(f"{place}: {text}") for text in (*twice, *upsert.remarks)]


def _items(path: str, raw: bytes) -> Iterator[tuple[str, Kind | None, object]]:
    """Yields `PATH:LINE` or `PATH: items[N]`, the kind that an item has by its list, and the item; lists unfolded."""
    for place, document in _documents(path, raw):
        head = _head(document)
        if head is None:
            # A list or a word where objects were: the whole file counts as unreadable
            raise SourceError(f"{place}: is no object; write `kind:`, `metadata:` and so on")
        if not isinstance(head.kind, str) or head.kind not in _LISTS:
            yield place, None, document
            continue
        for at, item in enumerate(_unfolded(place, document)):
            yield f"{place}: items[{at}]", _LISTS[head.kind], item


def _documents(path: str, raw: bytes) -> Iterator[tuple[str, object]]:
    # The items of a JSON list stay bytes: straight into structs they take a third of the time, and no dicts.
    if path.endswith(".json"):
        yield path, json_document(path, raw)
        return
    for line, value in yaml_documents(path, raw):
        # Nothing behind a `---`
        if value is not None:
            yield f"{path}:{line}", value


def _unfolded(place: str, document: object) -> list[Any]:
    try:
        if isinstance(document, msgspec.Raw):
            return msgspec.json.decode(document, type=_Items).items or []
        return msgspec.convert(document.get("items") or [], list[Any]) if isinstance(document, dict) else []
    except msgspec.ValidationError as error:
        # Which objects it would have held is unknown, so that the whole file counts as unreadable.
        raise SourceError(f"{place}: items: has to be a list of objects") from error


def _head(item: object) -> _Head | None:
    """None for what is no object at all."""
    if isinstance(item, msgspec.Raw):
        try:
            return msgspec.json.decode(item, type=_Head)
        except msgspec.DecodeError:
            return None
    return _Head(item.get("kind"), item.get("apiVersion")) if isinstance(item, dict) else None


def _kind(item: object, default: Kind | None) -> Kind | None:
    """None for a kind that means nothing to DNS.  Raises SourceError when there is no kind."""
    head = _head(item)
    if head is None:
        raise SourceError("is no object; write `kind:`, `metadata:` and so on")
    if not isinstance(head.kind, str):
        if head.kind is None and default:
            return default
        raise SourceError("kind: is missing or no text; say what this object is, such as `kind: Service`")
    kind = _KINDS.get(head.kind)
    group = head.apiVersion.rpartition("/")[0] if isinstance(head.apiVersion, str) else None
    return kind if kind and group in (None, _GROUPS[kind]) else None


def _load(kind: Kind, item: object) -> Upsert | None:
    if isinstance(item, msgspec.Raw):
        return from_json(kind, item)
    return from_value(kind, item) if isinstance(item, dict) else None


def _identity(item: object, default: Kind | None) -> Identity | None:
    """Which object an unusable one would have been, as far as that can be read."""
    try:
        value: Any = msgspec.json.decode(item) if isinstance(item, msgspec.Raw) else item
        kind = Kind(value.get("kind") or default)
        meta = value["metadata"]
        name, namespace = meta["name"], meta.get("namespace") or "default"
    except (msgspec.DecodeError, ValueError, LookupError, AttributeError, TypeError):
        return None
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    return kind, "" if kind is Kind.NAMESPACE else namespace, name

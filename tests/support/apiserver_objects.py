"""Objects as the fake API server keeps them, and the JSON forms in which it hands them out."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

import msgspec

from tests.support.apiserver_resources import Resource

META_GROUP = "meta.k8s.io/v1"
# API concepts: Streaming lists
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Form(Enum):
    """What a client asked to see of an object (API concepts: Metadata-only fetches)."""

    WHOLE = auto()
    METADATA = auto()


class EventType(Enum):
    """API reference: WatchEvent, and API concepts: Watch bookmarks."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. `content` is its JSON without kind and apiVersion; `fields` can be selected by."""

    resource: Resource
    revision: int
    metadata: Mapping[str, Any]
    fields: Mapping[str, str]
    content: bytes

    @property
    def key(self) -> str:
        """`namespace/name`, or the name alone: lists are in the order of these."""
        return key(self.resource, self.metadata.get("namespace"), self.metadata["name"])


def key(resource: Resource, namespace: str | None, name: str) -> str:
    """Where an object of the collection is kept."""
    return f"{namespace or 'default'}/{name}" if resource.namespaced else name


def stored(resource: Resource, manifest: Mapping[str, Any], revision: int, before: Stored | None) -> Stored:
    """A manifest with all that the server adds; uid and creation are those of the version `before`, if any.

    API concepts: Standard API terminology; Server-Side Apply: Field management.
    """
    metadata = {**manifest["metadata"], "resourceVersion": str(revision)}
    if resource.namespaced:
        metadata.setdefault("namespace", "default")
    metadata |= _birth(resource, metadata, revision) if before is None else _inherited(before)
    metadata["managedFields"] = [_managed(resource, manifest)]
    rest = {name: value for name, value in manifest.items() if name not in ("kind", "apiVersion", "metadata")}
    return _made(resource, revision, {"metadata": metadata, **resource.empty, **rest})


def restamped(old: Stored, revision: int) -> Stored:
    """The same state under another resourceVersion: what a DELETED event shows."""
    value = msgspec.json.decode(old.content)
    value["metadata"]["resourceVersion"] = str(revision)
    return _made(old.resource, revision, value)


def item(version: Stored, form: Form) -> msgspec.Raw:
    """As in a list. Items of built-in kinds have no kind and apiVersion; custom and metadata-only ones have."""
    if form is Form.WHOLE and not version.resource.custom:
        return msgspec.Raw(version.content)
    return whole(version, form)


def whole(version: Stored, form: Form) -> msgspec.Raw:
    """As in a watch event: with kind and apiVersion."""
    if form is Form.METADATA:
        return _partial(version.metadata)
    named = {"kind": version.resource.kind, "apiVersion": version.resource.api_version}
    return msgspec.Raw(msgspec.json.encode(named)[:-1] + b"," + version.content[1:])


def bookmark(resource: Resource, revision: int, form: Form, initial_events_end: bool = False) -> msgspec.Raw:
    """The object of a bookmark: of the collection's kind, and only the resourceVersion set."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    if form is Form.METADATA:
        return _partial(metadata)
    named = {"kind": resource.kind, "apiVersion": resource.api_version}
    return msgspec.Raw(msgspec.json.encode({**named, "metadata": metadata, **resource.empty}))


def line(kind: EventType, shown: msgspec.Raw) -> bytes:
    """One frame of a watch."""
    return msgspec.json.encode({"type": kind.value, "object": shown}) + b"\n"


def _made(resource: Resource, revision: int, value: dict[str, Any]) -> Stored:
    metadata = value["metadata"]
    fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    fields |= {name: (value.get(at) or {}).get(leaf) or "" for name, (at, leaf) in resource.fields.items()}
    return Stored(resource, revision, metadata, fields, msgspec.json.encode(value))


def _birth(resource: Resource, metadata: Mapping[str, Any], revision: int) -> dict[str, str]:
    """Another uid for each creation, even under one name."""
    text = f"{resource.title}/{metadata.get('namespace')}/{metadata['name']}/{revision}"
    return {"uid": str(uuid.uuid5(uuid.NAMESPACE_URL, text)), "creationTimestamp": _now()}


def _inherited(before: Stored) -> dict[str, str]:
    return {name: before.metadata[name] for name in ("uid", "creationTimestamp")}


def _managed(resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": resource.api_version,
        "time": _now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": _owned({name: value for name, value in manifest.items() if name not in ("kind", "apiVersion")}),
    }


def _owned(value: Any) -> dict[str, Any]:
    return {f"f:{name}": _owned(inner) for name, inner in value.items()} if isinstance(value, Mapping) else {}


def _partial(metadata: Mapping[str, Any]) -> msgspec.Raw:
    named = {"kind": "PartialObjectMetadata", "apiVersion": META_GROUP}
    return msgspec.Raw(msgspec.json.encode({**named, "metadata": metadata}))


def _now() -> str:
    """API reference: Time; whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What the API server sends: pages of a list and lines of a watch.

Forms: Kubernetes API concepts, "Retrieving large results sets in chunks", "Efficient detection of changes" and
"Streaming lists".
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

# On the bookmark behind the last object of a streaming list
_END_OF_LIST = "k8s.io/initial-events-end"


class Change(Enum):
    """The types of watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class _ListMeta(msgspec.Struct, gc=False, rename={"token": "continue", "version": "resourceVersion"}):
    version: str = ""
    token: str = ""


class _List(msgspec.Struct, gc=False):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Meta(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    # Of a Status object
    code: int = 0
    message: str = ""


class _Line(msgspec.Struct, gc=False):
    type: Change
    object: msgspec.Raw


class Page(msgspec.Struct, frozen=True):
    """One page of a list. `token`: asks for the next one, empty on the last. `version`: of the whole list."""

    items: list[msgspec.Raw]
    version: str
    token: str


class Head(msgspec.Struct, frozen=True):
    """Who an object is, and how old. `version` is 0 where the object does not say (they are opaque, but the API orders
    the versions of one object by number since 1.35; older servers do in fact)."""

    namespace: str
    name: str
    version: int


class Line(msgspec.Struct, frozen=True):
    """One watch event. `version`: what to watch from after it. `ends_list`: everything that existed was sent.
    `code` and `message`: of an ERROR event's Status."""

    change: Change
    head: Head
    raw: msgspec.Raw
    version: str
    ends_list: bool = False
    code: int = 0
    message: str = ""
    annotations: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}


_LIST = msgspec.json.Decoder(_List)
_HEAD = msgspec.json.Decoder(_Head)
_LINE = msgspec.json.Decoder(_Line)


def page(raw: bytes) -> Page:
    """Raises msgspec.MsgspecError for what is no list."""
    decoded = _LIST.decode(raw)
    return Page(decoded.items or [], decoded.metadata.version, decoded.metadata.token)


def head(raw: bytes | msgspec.Raw) -> Head:
    """Raises msgspec.MsgspecError for what is no object."""
    meta = _HEAD.decode(raw).metadata
    return Head(meta.namespace, meta.name, number(meta.resourceVersion))


def line(raw: bytes) -> Line:
    """Raises msgspec.MsgspecError for what is no watch event."""
    decoded = _LINE.decode(raw)
    object_head = _HEAD.decode(decoded.object)
    meta = object_head.metadata
    annotations = meta.annotations or {}
    return Line(
        decoded.type,
        Head(meta.namespace, meta.name, number(meta.resourceVersion)),
        decoded.object,
        meta.resourceVersion,
        annotations.get(_END_OF_LIST) == "true",
        object_head.code,
        object_head.message,
        annotations,
        meta.labels or {},
    )


def status_message(raw: bytes) -> str:
    """The message of a Status body, or the beginning of whatever else came."""
    try:
        return _HEAD.decode(raw).message or raw[:200].decode("utf-8", "replace")
    except msgspec.MsgspecError:
        return raw[:200].decode("utf-8", "replace")


def number(version: str) -> int:
    """A resourceVersion for comparisons; 0 for one that is no number."""
    return int(version) if version.isascii() and version.isdigit() else 0

"""What the API server of the benchmark holds: objects as JSON, pages of them ready to send, and the latest changes."""

import gzip
from collections import deque
from dataclasses import dataclass, field

import msgspec

from bench.cluster import Manifest

# What a real server compresses lists with
GZIP_LEVEL = 1
# Changes that a watch may come back for; older ones are 410
HISTORY = 20_000


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: its version, and how many objects were sent. As text, `continue` of the API."""

    version: int
    sent: int = 0

    def __str__(self) -> str:
        return f"{self.version}.{self.sent}"

    @classmethod
    def parsed(cls, text: str) -> "Token":
        version, _, sent = text.partition(".")
        return cls(int(version), int(sent))


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a response, as it is and compressed."""

    plain: bytes
    packed: bytes


@dataclass(slots=True)
class Collection:
    """One resource. Objects by `namespace/name`, whole and their metadata alone, in the order of their creation."""

    version: str
    kind: str
    objects: dict[str, bytes] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)
    # `resourceVersion` and line of the latest watch events
    history: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    pages: dict[tuple[Token, int, bool], Body] = field(default_factory=dict)


class State:
    """Every resource by its path, with one count of changes for all, as in etcd."""

    def __init__(self, collections: dict[str, Collection]) -> None:
        self.collections = collections
        self.revision = 1
        # The oldest version that can be watched from
        self.oldest = 0

    def put(self, path: str, manifest: Manifest, told: bool = True) -> bytes:
        """Take the new state of an object; the line that tells the watches. If it is not `told`, only a list will."""
        collection = self.collections[path]
        self.revision += 1
        metadata = manifest["metadata"] | {"resourceVersion": str(self.revision)}
        key = f"{metadata.get('namespace', '')}/{metadata['name']}"
        change = "MODIFIED" if key in collection.objects else "ADDED"
        collection.objects[key] = raw = msgspec.json.encode(manifest | {"metadata": metadata})
        collection.heads[key] = msgspec.json.encode({"metadata": metadata})
        collection.pages.clear()
        line = _line(change, _whole(collection, raw))
        if told:
            collection.history.append((self.revision, line))
        return line

    def page(self, path: str, token: Token, limit: int, heads: bool) -> Body:
        """The page of a list that begins at the token; `limit` 0 is everything."""
        collection = self.collections[path]
        asked = (token, limit, heads)
        if asked not in collection.pages:
            plain = _page(collection, *asked)
            collection.pages[asked] = Body(plain, gzip.compress(plain, GZIP_LEVEL))
        return collection.pages[asked]

    def since(self, path: str, version: int) -> list[bytes] | None:
        """The lines after that version, None when they are forgotten."""
        history = self.collections[path].history
        if version < self.oldest or (len(history) == HISTORY and version < history[0][0]):
            return None
        return [line for revision, line in history if revision > version]

    def everything(self, path: str) -> list[bytes]:
        """The lines of a streaming list, the last one says that it is complete."""
        collection = self.collections[path]
        lines = [_line("ADDED", _whole(collection, raw)) for raw in collection.objects.values()]
        return [*lines, self.bookmark(path, {"annotations": {"k8s.io/initial-events-end": "true"}})]

    def bookmark(self, path: str, more: Manifest | None = None) -> bytes:
        collection = self.collections[path]
        metadata = {"resourceVersion": str(self.revision)} | (more or {})
        return _line("BOOKMARK", _whole(collection, msgspec.json.encode({"metadata": metadata})))

    def forget(self) -> bytes:
        """No version so far can be watched from any more; the line that ends the watches."""
        self.revision += 1
        self.oldest = self.revision
        return _line("ERROR", status(410, "Expired", f"too old resource version, the oldest is {self.oldest}"))


def status(code: int, reason: str, message: str) -> bytes:
    """A Status object of a failure."""
    failure = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return msgspec.json.encode(failure | {"message": message, "reason": reason, "code": code})


def _page(collection: Collection, token: Token, limit: int, heads: bool) -> bytes:
    held = list((collection.heads if heads else collection.objects).values())
    following = token.sent + (limit or len(held))
    left = max(len(held) - following, 0)
    metadata = {"resourceVersion": str(token.version)}
    if left:
        metadata |= {"continue": str(Token(token.version, following)), "remainingItemCount": left}
    kind = ("PartialObjectMetadataList", "meta.k8s.io/v1") if heads else (f"{collection.kind}List", collection.version)
    head = msgspec.json.encode(dict(zip(("kind", "apiVersion"), kind, strict=True)) | {"metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(held[token.sent : following]) + b"]}"


def _whole(collection: Collection, raw: bytes) -> bytes:
    """With kind and version, which the items of a list do without."""
    return msgspec.json.encode({"kind": collection.kind, "apiVersion": collection.version})[:-1] + b"," + raw[1:]


def _line(change: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (change.encode(), raw)

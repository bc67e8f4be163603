"""`snapshot PATH`: the last known state of a source in a file, to answer from at a start without the API server.

Integers are big-endian. A head (see `_HEAD`); the objects as one zlib stream, each with the lengths of key and payload
before it; the SHA-256 of all that. What is read is checked to the last field, because whatever can write to the volume
can write to the file: one that is not as it should be is not used at all, and left as it is.
"""

import errno
import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.objects import Upsert
from clusterdns.kube.packed import MAX_SERIAL, Packed, unpack
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.listing import shown

# Octets of a file: ten times a cluster of 100,000 endpoints, and those do shrink
MAX_BYTES = 64 * 1024 * 1024
# Octets of the objects in it: what cannot be compressed gets longer by 5 for each 16 KiB, and there is the head
_MAX_OBJECTS = MAX_BYTES - 64 * 1024
# Seconds from one file to the next, at least; after one that could not be written; and until the time in a file whose
# objects did not change is brought up to date
PAUSE, RETRY, REFRESH = 5.0, 30.0, 60.0
# Seconds for which a state is good, and which the clock of whoever wrote it may be ahead of ours
MAX_AGE, MAX_AHEAD = 24 * 3600, 300

_MAGIC, VERSION = b"cdnssnap", 1
# Magic, version, when the source was last heard, SOA serial, number of objects, source
_HEAD = struct.Struct("!8sHqqQ16s")
_LENGTHS = struct.Struct("!II")
_DIGEST = hashlib.sha256().digest_size
# The quickest: 5 ms for each MB, of which a fifth is left
_LEVEL = 1
# Objects that are compressed at once
_BATCH = 64

_ADVICE = {
    errno.ENOENT: "create its directory",
    errno.ENOSPC: "make room",
}


class Content(msgspec.Struct, frozen=True):
    """`heard`: unix seconds at which the state was last known to be that of the source. `serial`: the highest SOA
    serial. `source`: see `source_id`. `objects`: pairs of key and payload (`kube.packed`)."""

    heard: int
    serial: int
    source: bytes
    objects: Collection[tuple[bytes, bytes]]


def source_id(spec: SourceSpec) -> bytes:
    """What tells two sources apart, in 16 octets: where the objects come from, and how they were trimmed."""
    said = msgspec.json.encode((spec.endpoint, spec.kubeconfig, spec.context, spec.manifests, spec.pod_names))
    return hashlib.sha256(said).digest()[:16]


def encode(content: Content) -> Iterator[bytes]:
    """The octets of a file in chunks, so that they are never all in memory."""
    digest = hashlib.sha256()
    for chunk in _chunks(content):
        digest.update(chunk)
        yield chunk
    yield digest.digest()


def _chunks(content: Content) -> Iterator[bytes]:
    yield _HEAD.pack(_MAGIC, VERSION, content.heard, content.serial, len(content.objects), content.source)
    deflate = zlib.compressobj(_LEVEL)
    parts = (part for key, value in content.objects for part in (_LENGTHS.pack(len(key), len(value)), key, value))
    while chunk := b"".join(islice(parts, 3 * _BATCH)):
        yield deflate.compress(chunk)
    yield deflate.flush()


def decode(raw: bytes) -> Content:
    """The reverse of `encode`; `objects` are Packed, and every one of them is an Upsert.  Raises SourceError."""
    if len(raw) < _HEAD.size + _DIGEST or not raw.startswith(_MAGIC):
        raise SourceError("it is no snapshot")
    _, version, heard, serial, count, source = _HEAD.unpack_from(raw)
    if version != VERSION:
        raise SourceError(f"its format is version {version}, and {VERSION} is the one that can be read")
    body = memoryview(raw)[:-_DIGEST]
    if hashlib.sha256(body).digest() != raw[-_DIGEST:]:
        raise SourceError("its checksum is wrong, so that it was cut short or changed")
    try:
        objects = _checked(_inflated(body[_HEAD.size :]), count)
    except (zlib.error, struct.error, msgspec.MsgspecError, ValueError, LookupError) as error:
        raise SourceError(f"it holds what is no object: {error}") from error
    if not 0 <= serial <= MAX_SERIAL:
        raise SourceError("its SOA serial is none")
    return Content(heard, serial, source, objects)


def _inflated(stream: memoryview) -> bytes:
    inflate = zlib.decompressobj()
    found = inflate.decompress(stream, MAX_BYTES)
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"it is longer than its stream, or that is longer than {MAX_BYTES >> 20} MiB")
    return found


def _checked(body: bytes, count: int) -> list[Packed]:
    objects, at = [], 0
    for _ in range(count):
        key_size, size = _LENGTHS.unpack_from(body, at)
        middle = at + _LENGTHS.size + key_size
        packed = Packed(body[at + _LENGTHS.size : middle], body[middle : middle + size])
        if not isinstance(unpack(packed), Upsert):
            raise ValueError("an event in place of an object")
        objects.append(packed)
        at = middle + size
    if at != len(body):
        raise ValueError(f"{count} objects do not fill it")
    return objects


class Snapshot:
    """One file. `due` decides; `read` and `write` block on the file system, and are for a thread."""

    def __init__(self, path: str, spec: SourceSpec) -> None:
        self._path, self._source = path, source_id(spec)
        # Of what is in the file, as far as this process has written it
        self._serial, self._heard = -1, 0
        self._next = float("-inf")
        self._said = ""

    def read(self, now: float) -> Content | None:
        """The last known state, None where there is no file. `now` in unix seconds.

        Raises SourceError `PATH: is not used: why`.
        """
        try:
            content = _read(self._path)
            if content is not None:
                self._check(content, now)
        except SourceError as error:
            raise SourceError(f"{shown(self._path)}: is not used: {error}; the next one takes its place") from error
        return content

    def _check(self, content: Content, now: float) -> None:
        if content.source != self._source:
            raise SourceError("it was written for another cluster, or for other options of `kubernetes`")
        if now - content.heard > MAX_AGE:
            age = int(now - content.heard) // 3600
            raise SourceError(f"it is {age} hours old, and {MAX_AGE // 3600} are the most")
        if content.heard - now > MAX_AHEAD:
            raise SourceError("its time lies in the future; compare the clocks of the machines")

    def due(self, now: float, serial: int, heard: float) -> bool:
        """Is it time to write? `now` in monotonic seconds; `serial` changes with the objects; `heard` as in Content.
        Not to be asked while `write` is under way."""
        return now >= self._next and (serial != self._serial or abs(heard - self._heard) >= REFRESH)

    def write(self, now: float, serial: int, heard: float, objects: Collection[tuple[bytes, bytes]]) -> str:
        """Put a state that is complete in place of the file's; `now` as in `due`. Nobody changes `objects` meanwhile.

        Returns what is to be said: `PATH: is not kept: why`, once, and `PATH: is good again`; else nothing.
        """
        trouble = self._replace(Content(int(heard), serial, self._source, objects))
        self._next = now + (RETRY if trouble else PAUSE)
        if not trouble:
            self._serial, self._heard = serial, int(heard)
        said, self._said = self._said, trouble
        if trouble == said:
            return ""
        return f"{shown(self._path)}: {trouble or 'is good again'}"

    def _replace(self, content: Content) -> str:
        """Returns why that was not possible."""
        size = sum(len(key) + len(payload) + _LENGTHS.size for key, payload in content.objects)
        if size > _MAX_OBJECTS:
            limit = f"the state has more than {MAX_BYTES >> 20} MiB"
            return f"is not kept: {limit}; a start without the API server will have nothing to answer from"
        try:
            _replace(self._path, encode(content))
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "name a file in a directory that this user may write to")
            return f"is not kept: {error.strerror}; {advice}"
        return ""


def _read(path: str) -> Content | None:
    try:
        # Opening a pipe would wait for its writer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise SourceError("it is no file")
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"it cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise SourceError(f"it is larger than {MAX_BYTES >> 20} MiB")
    return decode(raw)


def _replace(path: str, chunks: Iterable[bytes]) -> None:
    """The file is there as a whole or as it was.  Raises OSError."""
    fresh = f"{path}.new"
    with open(fresh, "xb", opener=_create) as file:
        try:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
            os.replace(fresh, path)
        except OSError:
            with suppress(OSError):
                os.unlink(fresh)
            raise


def _create(path: str, flags: int) -> int:
    """A file of ours alone: names and addresses of a cluster are nobody else's business."""
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        # What a process left that was killed while it wrote
        os.unlink(path)
        return os.open(path, flags, 0o600)

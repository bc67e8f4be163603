"""`manifests PATH...`: objects from files that are looked at again and again.

A scan stats every file and reads the changed ones. Polling, because inotify says nothing on network file systems
and little about the symbolic links of a mounted ConfigMap.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clusterdns.errors import SourceError
from clusterdns.kube.objects import Event, Synced, Upsert
from clusterdns.sources import documents
from clusterdns.sources.complaints import Complaints
from clusterdns.sources.documents import Identity
from clusterdns.sources.listing import Seen, Signature, content, shown, walk
from clusterdns.sources.merge import Merged, events, merge
from clusterdns.sources.threads import in_thread

# A file changed this recently may change again without a new mtime (FAT counts in 2 s): it is read once more.
RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """What one scan found.

    `events` ends with Synced in the scan in which `complete` (every PATH was listed at least once) first is true.
    """

    events: list[Event]
    complaints: list[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class _File:
    """The last good objects of a file, and what is wrong with its newest text (that of `digest`)."""

    signature: Signature | None = None
    settled: bool = False
    digest: bytes = b""
    objects: Mapping[Identity, Upsert] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()


class Manifests:
    """The state between scans. `clock`: unix time in ns, to tell a file that was changed just now."""

    def __init__(self, paths: Iterable[str], clock: Callable[[], int] = time.time_ns) -> None:
        self._paths = tuple(path.rstrip(os.sep) or os.sep for path in paths)
        self._clock = clock
        self._unlisted = set(self._paths)
        self._synced = False
        self._present: frozenset[str] = frozenset()
        self._files: dict[str, _File] = {}
        self._merged = Merged({}, {})
        self._complaints = Complaints()

    def scan(self) -> Change:
        """Look at all files.  Blocks on the file system; raises nothing."""
        before, present = self._merged.objects, walk(self._paths)
        troubles = self._look(present)
        self._unlisted -= {seen.path for seen in present if not seen.trouble}
        found = events(before, self._merged.objects)
        complete = not self._unlisted
        if complete and not self._synced:
            self._synced = True
            found.append(Synced())
        return Change(found, self._news(troubles, frozenset(shown(seen.path) for seen in present)), complete)

    def _look(self, present: Sequence[Seen]) -> dict[str, str]:
        """Take in what changed; returns path -> why it could not be read."""
        files: dict[str, _File] = {}
        troubles: dict[str, str] = {}
        for seen in present:
            try:
                files |= self._read(seen)
            except SourceError as error:
                troubles[seen.path] = str(error)
                files |= self._kept(seen.path)
        # The order counts too
        if list(files.items()) != list(self._files.items()):
            self._merged = merge({shown(path): file.objects for path, file in files.items()})
        self._files = files
        return troubles

    def _kept(self, path: str) -> dict[str, _File]:
        """The files that were found at or below `path` before."""
        return {p: file for p, file in self._files.items() if p == path or p.startswith(os.path.join(path, ""))}

    def _read(self, seen: Seen) -> dict[str, _File]:
        if seen.trouble:
            raise SourceError(seen.trouble)
        if seen.signature is None:
            return {}
        known = self._files.get(seen.path, _File())
        if known.settled and known.signature == seen.signature:
            return {seen.path: known}
        settled = abs(self._clock() - seen.signature[0]) > RACY_NS
        raw = content(seen)
        if raw is None:
            return {seen.path: known}
        return {seen.path: _taken(shown(seen.path), replace(known, signature=seen.signature, settled=settled), raw)}

    def _news(self, troubles: Mapping[str, str], present: frozenset[str]) -> list[str]:
        now = {shown(path): [*file.complaints] for path, file in self._files.items() if file.complaints}
        for path, trouble in troubles.items():
            now.setdefault(shown(path), []).append(trouble)
        now |= {subject: [text] for subject, text in self._merged.complaints.items()}
        gone, self._present = self._present - present, present
        return self._complaints.news(now, gone)


async def follow(
    manifests: Manifests,
    apply: Callable[[list[Event]], object],
    report: Callable[[str], object],
    interval: float = 0.5,
    scanned: Callable[[], object] = lambda: None,
) -> None:
    """Scan every `interval` seconds in a thread, for ever; hand over events (all of a scan at once) and complaints.
    `scanned` is called after each."""
    while True:
        change = await in_thread(manifests.scan, "manifests")
        if change.events:
            apply(change.events)
        for complaint in change.complaints:
            report(complaint)
        scanned()
        await asyncio.sleep(interval)


def _taken(path: str, known: _File, raw: bytes) -> _File:
    """The file with its new text: of what cannot be used the last good state stays."""
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    if digest == known.digest:
        return known
    known = replace(known, digest=digest)
    try:
        found = documents.read(path, raw)
    except SourceError as error:
        fate = "its last good state stays" if known.objects else "nothing of it is served"
        return replace(known, complaints=(f"{error}; {fate}",))
    broken = {fault.identity for fault in found.faults if fault.identity} - found.objects.keys()
    kept = {own: upsert for own, upsert in known.objects.items() if own in broken}
    texts = tuple(fault.text + _fate(fault.identity, kept) for fault in found.faults)
    return replace(known, objects=kept | dict(found.objects), complaints=texts)


def _fate(own: Identity | None, kept: Mapping[Identity, Upsert]) -> str:
    if own is None:
        return ""
    return "; its last good version stays" if own in kept else "; it is not served"

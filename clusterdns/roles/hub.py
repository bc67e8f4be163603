"""The gathering half of a process: sources run, tables fill, for one configuration after the other."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.objects import Event, Kind
from clusterdns.kube.packed import Packed, pack
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.intake import source_id
from clusterdns.roles.output import BugReporter
from clusterdns.sources.manifests import Manifests, follow
from clusterdns.sources.snapshot import Snapshot
from clusterdns.sources.table import State, Table
from clusterdns.sources.threads import in_thread

if TYPE_CHECKING:
    from clusterdns.sources.apiserver import ApiServer

# Seconds between looks whether a snapshot is due
_LOOK = 1.0

_log = logging.getLogger("clusterdns")


class Source(Protocol):
    """Runs from `start` on by itself."""

    def stop(self) -> None:
        """Emit nothing more."""

    def missing(self) -> list[str]:
        """What was not listed yet, and why."""

    def report(self) -> list[str]:
        """Lines for whoever wants to know more."""

    def age(self, now: float) -> float:
        """Seconds since all of it was last heard of; `now` in monotonic seconds."""


class Running(msgspec.Struct):
    """A source at work. `remembered`: when the state was seen that a snapshot restored, in unix seconds."""

    source: Source
    table: Table
    snapshot: Snapshot | None = None
    remembered: int | None = None


class Hub:
    """Runs sources, each with a table."""

    def __init__(self, report: BugReporter) -> None:
        self._report = report
        self._running: dict[SourceSpec, Running] = {}
        self._keeper = asyncio.get_running_loop().create_task(self._keep_snapshots())
        self._keeper.add_done_callback(partial(_report_end, report))

    def tables(self) -> dict[bytes, Table]:
        """Of each source that runs, by its id between processes."""
        return {source_id(spec): running.table for spec, running in self._running.items()}

    async def start(self, sources: Iterable[SourceSpec]) -> None:
        """Run those that do not run yet."""
        for spec in sources:
            if spec not in self._running:
                table = Table()
                snapshot, remembered = await _restore(spec, table) if spec.snapshot else (None, None)
                begin = _manifests if spec.manifests else _api_server
                source = await begin(spec, table, self._report)
                self._running[spec] = Running(source, table, snapshot, remembered)

    def keep(self, sources: Iterable[SourceSpec]) -> None:
        """Stop all others."""
        for spec in self._running.keys() - set(sources):
            self._running.pop(spec).source.stop()

    def missing(self, sources: Iterable[SourceSpec]) -> list[str]:
        """What of these is not known as a whole yet."""
        running = [self._running[spec] for spec in sources if spec in self._running]
        return [text for each in running if each.table.state < State.RESTORED for text in each.source.missing()]

    def report(self) -> list[str]:
        """Lines for whoever wants to know more."""
        found = []
        for running in self._running.values():
            found += running.source.report()
            if running.table.state is State.RESTORED and running.remembered is not None:
                age = time.time() - running.remembered
                found.append(f"snapshot: names are answered from a state that is {age:.0f} s old")
        return found

    def close(self) -> None:
        self._keeper.cancel()
        self.keep(())

    async def _keep_snapshots(self) -> None:
        """Write what is due, for ever, one after the other."""
        while True:
            await asyncio.sleep(_LOOK)
            for running in list(self._running.values()):
                if running.snapshot is not None and running.table.state is State.SYNCED:
                    await _keep(running.snapshot, running)


async def _restore(spec: SourceSpec, table: Table) -> tuple[Snapshot, int | None]:
    """Begin with what was known last, if there is a file that says so."""
    snapshot = Snapshot(spec.snapshot, spec)
    try:
        content = await in_thread(partial(snapshot.read, time.time()), "snapshot")
    except SourceError as error:
        complain(str(error))
        return snapshot, None
    if content is None:
        return snapshot, None
    table.restore((Packed(*each) for each in content.objects), content.serial)
    return snapshot, content.heard


async def _keep(snapshot: Snapshot, running: Running) -> None:
    now, table = time.monotonic(), running.table
    heard = time.time() - running.source.age(now)
    if snapshot.due(now, table.serial, heard):
        # A copy of references: the table changes while the thread writes
        objects = list(table.objects.items())
        if text := await in_thread(partial(snapshot.write, now, table.serial, heard, objects), "snapshot"):
            complain(text)


class _Files:
    """Manifests, followed in a task."""

    def __init__(self, spec: SourceSpec, task: asyncio.Task[None], table: Table) -> None:
        self._spec, self._task, self._table = spec, task, table

    def stop(self) -> None:
        self._task.cancel()

    def missing(self) -> list[str]:
        return [f"manifests {' '.join(self._spec.manifests)}: not all of them could be listed yet"]

    def report(self) -> list[str]:
        return [f"manifests {' '.join(self._spec.manifests)}: {len(self._table.objects)} objects"]

    def age(self, now: float) -> float:
        # Files are looked at twice a second
        return 0.0


async def _manifests(spec: SourceSpec, table: Table, report: BugReporter) -> Source:
    """The first scan is over when this returns, so that a small start is complete at once."""
    scanned = asyncio.Event()

    def apply(events: list[Event]) -> None:
        table.apply([pack(event) for event in events], int(time.time()))

    def done() -> None:
        table.settle()
        scanned.set()

    task = asyncio.get_running_loop().create_task(follow(Manifests(spec.manifests), apply, complain, scanned=done))
    task.add_done_callback(partial(_report_end, report))
    # If it ends before its first scan, nobody is kept waiting
    task.add_done_callback(lambda _: scanned.set())
    await scanned.wait()
    return _Files(spec, task, table)


class _Watched:
    """An API server, watched by its threads."""

    def __init__(self, server: "ApiServer") -> None:
        self._server = server

    def stop(self) -> None:
        self._server.stop()

    def missing(self) -> list[str]:
        return self._server.missing()

    def report(self) -> list[str]:
        ages, repaired = self._server.ages(time.monotonic()), self._server.repaired
        missing = [text.partition(":")[0] for text in self._server.missing()]
        lines = [
            f"API server: {name}: not listed for {age:.0f} s"
            if name in missing
            else f"API server: {name}: last heard of {age:.0f} s ago, {repaired[name]} lost objects repaired"
            for name, age in ages.items()
        ]
        for kind, seen in self._server.latency.items():
            if count := sum(seen.counts):
                lines.append(f"programming latency: {kind}: {count} changes, p99 <= {seen.quantile(0.99):g} s")
        return lines

    def age(self, now: float) -> float:
        return max(self._server.ages(now).values())


async def _api_server(spec: SourceSpec, table: Table, report: BugReporter) -> Source:
    """Threads follow the API server; its client is imported only where there is one (30 MB)."""
    from clusterdns.sources.access import Access
    from clusterdns.sources.apiserver import ApiServer

    loop = asyncio.get_running_loop()
    kinds = (Kind.NAMESPACE, Kind.SERVICE, Kind.SLICE, *((Kind.POD,) if spec.pods else ()))

    def take(changes: list[Packed]) -> None:
        table.apply(changes, int(time.time()))

    def emit(changes: list[Packed]) -> None:
        # The loop may have closed while the thread was reading
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(take, changes)

    server = ApiServer(spec, partial(Access, spec), kinds, emit, complain)
    server.start()
    return _Watched(server)


def _report_end(report: Callable[[BaseException, str], None], task: asyncio.Task[None]) -> None:
    """A source that ends by itself has a bug; what it brought so far is served on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error, "in a source of objects")


def complain(text: str) -> None:
    """What a source has to say: a complaint, or that one is mended."""
    _log.log(logging.INFO if text.endswith(": is good again") else logging.ERROR, "%s", text)

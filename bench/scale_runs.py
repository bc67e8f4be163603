"""What is measured of a large cluster: a start, its memory, how soon a change is answered, a storm of changes."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.api import SERVICES_PATH, SLICES_PATH
from bench.clients import Report, paced
from bench.cluster import ENDPOINTS, Manifest, cluster_ip, domain, headless, place, pod_ips, service, slice_
from bench.live import ApiServer, Live, live
from bench.packets import Query
from bench.processes import apart
from bench.question import Asker, has
from bench.usage import Busy, Memory

# Seconds between two questions: until the first answer, and for an event
START_INTERVAL, EVENT_INTERVAL = 0.005, 0.001
# Seconds that a name is asked for before it exists: at random, so that events and questions have no common beat
BEFORE = (0.01, 0.03)
# Namespaces, Services, EndpointSlices
RESOURCES = 3
# Queries a second of the load, over this many names
LOAD, LOAD_NAMES = 2000, 2000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much: Services, starts, events of each kind, seconds and changes a second of the storm."""

    services: int
    starts: int
    events: int
    background: int
    storm_seconds: float
    storm_rate: int


FULL = Plan(services=8000, starts=5, events=500, background=100, storm_seconds=10.0, storm_rate=1000)
SMOKE = Plan(services=48, starts=1, events=4, background=100, storm_seconds=0.3, storm_rate=200)


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one kind, sorted, and how busy the machine was meanwhile."""

    values: list[float]
    busy: str

    def quantile(self, share: float) -> float:
        return self.values[min(int(len(self.values) * share), len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class Storm:
    """Milliseconds from a change to its answer; how many changes; what came of the load without them and with them."""

    events: Series
    changed: int
    quiet: Report
    stormy: Report
    quiet_busy: str


@dataclass(slots=True)
class Scale:
    """The runs, all against one API server, with as many workers."""

    plan: Plan
    workers: int
    api: ApiServer
    # Numbers of the Services that are created in passing
    created: int = 0

    def starts(self) -> Series:
        """Seconds from the start of the process to the first right answer."""
        seconds, busy = [], ""
        # Not counted: the first one reads everything from the disk
        for _ in range(1 + self.plan.starts):
            with self._started() as server:
                load = Busy(server.process.pid, self.api.pid)
                seconds.append(self._first_answer(server) - server.started)
                busy = load.text()
        return Series(sorted(seconds[1:]), busy)

    def memory(self) -> Memory:
        """From the start until everything was listed again, because the watches ended with 410."""
        with self._started() as server:
            memory = Memory(server.process.pid)
            memory.start()
            try:
                self._first_answer(server)
                self._relist(server)
            finally:
                memory.end()
        return memory

    def events(self, server: Live, rate: int) -> Series:
        """Milliseconds from the event of a new Service to its first answer, with `rate` other events a second."""
        self.api.order(change=rate)
        busy = Busy(server.process.pid, self.api.pid)
        with Asker(server.port, EVENT_INTERVAL) as asker:
            values = sorted(self._created(asker) for _ in range(self.plan.events))
        self.api.order(change=0)
        return Series(values, busy.text())

    def storm(self, server: Live) -> Storm:
        """The load alone, then the load and the changes, for as long."""
        with apart(server.process.pid, self.api.pid) as cpu, Asker(server.port, EVENT_INTERVAL) as asker:
            busy = Busy(server.process.pid, self.api.pid)
            with paced(server.port, LOAD, self._queries(), cpu) as quiet:
                asker.keep_asking(domain(*place(0)), self.plan.storm_seconds)
            quiet_busy, busy = busy.text(), Busy(server.process.pid, self.api.pid)
            index = self._headless(asker)
            with paced(server.port, LOAD, self._queries(), cpu) as stormy:
                self.api.order(change=self.plan.storm_rate)
                end = time.monotonic() + self.plan.storm_seconds
                values = list(takewhile(lambda _: time.monotonic() < end, self._moves(asker, index)))
                changed = self.api.order(change=0)["changed"]
        return Storm(Series(sorted(values), busy.text()), changed, quiet, stormy, quiet_busy)

    @contextmanager
    def live(self) -> Iterator[Live]:
        """A server that has given the first right answer and watches."""
        with self._started() as server:
            self._first_answer(server)
            self._await_watches(server)
            yield server

    @contextmanager
    def _started(self) -> Iterator[Live]:
        with (
            TemporaryDirectory(prefix="clusterdns-scale-") as directory,
            live(self.workers, Path(directory), self.api.port) as server,
        ):
            yield server

    def _first_answer(self, server: Live, turn: int = 0) -> float:
        """When the last Service was answered with all of its endpoints, in seconds of the monotonic clock."""
        index = self.plan.services - 1
        with Asker(server.port, START_INTERVAL) as asker:
            return asker.ask(domain(*place(index)), has(pod_ips(index, turn))) / 1e9

    def _await_watches(self, server: Live) -> None:
        server.until(lambda: self.api.order()["watching"] >= RESOURCES, "the watches of three resources")

    def _relist(self, server: Live) -> None:
        """Have everything listed again: the last Service changes, and only a list tells it."""
        self._await_watches(server)
        index = self.plan.services - 1
        self._put_endpoints(index, 1, told=False)
        self.api.order(expire=True)
        self._first_answer(server, turn=1)
        self._await_watches(server)
        self._put_endpoints(index, 0, told=False)

    def _created(self, asker: Asker) -> float:
        """Milliseconds from a new Service to its answer."""
        index = self._next()
        manifest = service(place(index), index, cluster_ip(index))
        return self._answered(asker, index, cluster_ip(index), SERVICES_PATH, manifest)

    def _headless(self, asker: Asker) -> int:
        """A headless Service of its own for the storm, which changes all others."""
        index = self._next()
        self.api.order(put=service(place(index), index, "None"), path=SERVICES_PATH, told=True)
        self._put_endpoints(index, 0)
        asker.ask(domain(*place(index)), has(pod_ips(index)))
        return index

    def _moves(self, asker: Asker, index: int) -> Iterator[float]:
        """Milliseconds from a changed endpoint to its answer, again and again."""
        for turn in count(1):
            addresses = pod_ips(index, turn)
            yield self._answered(asker, index, addresses[0], SLICES_PATH, slice_(place(index), index, addresses))

    def _answered(self, asker: Asker, index: int, address: str, path: str, manifest: Manifest) -> float:
        seen = asker.ask(
            domain(*place(index)),
            has([address]),
            random.uniform(*BEFORE),
            lambda: self.api.send(put=manifest, path=path, told=True),
        )
        return (seen - self.api.answer()["at"]) / 1e6

    def _next(self) -> int:
        self.created += 1
        return self.plan.services + self.created

    def _put_endpoints(self, index: int, turn: int, told: bool = True) -> None:
        manifest = slice_(place(index), index, pod_ips(index, turn))
        self.api.order(put=manifest, path=SLICES_PATH, told=told)

    def _queries(self) -> list[Query]:
        """The names of the load."""
        indexes = random.Random(2000).sample(range(self.plan.services), min(LOAD_NAMES, self.plan.services))
        return [Query(domain(*place(index)), answers=ENDPOINTS if headless(index) else 1) for index in indexes]

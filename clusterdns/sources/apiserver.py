"""The API server as a source: a thread for each resource lists it, watches it, and begins again after any failure."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from functools import partial

from clusterdns.kube.manifest import SERVICE_LABEL
from clusterdns.kube.objects import Kind
from clusterdns.kube.packed import SYNCED, Packed, key
from clusterdns.kube.stream import Change, Line
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.access import Access
from clusterdns.sources.follower import Follower
from clusterdns.sources.latency import CLUSTER_IP, HEADLESS, SERVICE_KINDS, TRIGGER, Histogram, unix_seconds
from clusterdns.sources.reflector import Reflector
from clusterdns.sources.refusals import AccessError
from clusterdns.sources.resources import RESOURCES, complaint
from clusterdns.sources.timing import Clock, Timing

# Rounds in a row that end at once and in good order, until something must be wrong
_RESTLESS = 3

_log = logging.getLogger(__name__)


class ApiServer:
    """The objects of one API server, from `start` until `stop`.

    `connect` makes the Access. `emit` gets what changed, `report` complaints; both are called from threads of this
    source, `emit` by one at a time. The first list of a kind, and what a later list found, are emitted as a whole;
    SYNCED follows once the last kind was listed. An outage emits nothing.

    `latency`: seconds from a change of the cluster to its arrival here, by kind of Service, of what watches told.
    """

    def __init__(
        self,
        source: SourceSpec,
        connect: Callable[[], Access],
        kinds: tuple[Kind, ...],
        emit: Callable[[list[Packed]], None],
        report: Callable[[str], None],
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._access, self._emit, self._report = connect(), emit, report
        self._timing, self._clock = timing or Timing(), clock or Clock()
        self.latency: Mapping[str, Histogram] = {name: Histogram() for name in SERVICE_KINDS}
        self._reflectors = {kind: Reflector(kind, source.pod_names) for kind in kinds}
        self._followers = [
            Follower(RESOURCES[kind], reflector, self._timing, self._clock, self._heed)
            for kind, reflector in self._reflectors.items()
        ]
        self._lock = threading.RLock()
        self._synced = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to list and to watch, in daemon threads."""
        for follower in self._followers:
            name = f"watch {follower.resource.name}"
            threading.Thread(target=partial(self._run, follower), name=name, daemon=True).start()

    def stop(self) -> None:
        """Nothing is emitted after this. The threads end by themselves; they keep nothing that must be saved."""
        with self._lock:
            self._stopped.set()
        self._access.close()

    def missing(self) -> list[str]:
        """The resources that were not listed yet, each with its last failure: `services: 403 Forbidden: ...`."""
        return [
            f"{each.resource.name}: {each.failure or 'not listed yet'}"
            for each in self._followers
            if not each.reflector.listed
        ]

    def ages(self, now: float) -> dict[str, float]:
        """Resource -> seconds since the server told anything of it, were it only a bookmark; before that, since this
        source was made. `now`: of the monotonic clock."""
        return {each.resource.name: now - each.heard for each in self._followers}

    @property
    def repaired(self) -> dict[str, int]:
        """Resource -> how many objects watches had lost the state of, found and mended."""
        return {each.resource.name: each.repaired for each in self._followers}

    def _run(self, follower: Follower) -> None:
        """For ever: one round after the other, with pauses after failures and after rounds that soon ended."""
        failures = 0
        while not self._stopped.is_set():
            begun = self._clock.monotonic()
            error = self._attempt(follower)
            lasted = self._clock.monotonic() - begun >= self._timing.longest_pause
            failures = 0 if lasted else failures
            if error is not None or not lasted:
                failures += 1
                if failures == _RESTLESS and error is None:
                    self._failed(follower, AccessError("each answer ends at once"))
                asked = min(error.retry_after, self._timing.longest_pause) if error else 0.0
                self._stopped.wait(max(asked, self._timing.pause(failures, random.random())))

    def _attempt(self, follower: Follower) -> AccessError | None:
        """One round, and why it failed."""
        try:
            for changes in follower.round(self._access):
                self._send(follower, changes)
                if self._stopped.is_set():
                    return None
        except AccessError as error:
            self._failed(follower, error)
            return error
        except Exception as error:
            # A bug must not end the watch for good
            _log.exception("a bug while watching %s; please report it", follower.resource.name)
            follower.reflector.expire()
            return AccessError(f"a bug: {error}", retry_after=self._timing.longest_pause)
        return None

    def _failed(self, follower: Follower, error: AccessError) -> None:
        """The same failure again is not said again."""
        text, known = str(error), follower.failure
        follower.failure = text
        if text != known and not self._stopped.is_set():
            self._report(complaint(follower.resource, follower.verb, error))

    def _send(self, follower: Follower, changes: list[Packed]) -> None:
        for text in follower.reflector.complaints():
            self._report(text)
        if follower.failure and follower.reflector.version:
            follower.failure = ""
            self._report(f"kubernetes API: {follower.resource.name}: is good again")
        with self._lock:
            if not self._synced and all(each.listed for each in self._reflectors.values()):
                self._synced = True
                changes = [*changes, SYNCED]
            if changes and not self._stopped.is_set():
                self._emit(changes)

    def _heed(self, line: Line) -> None:
        """How long did this change of a slice take to come here?"""
        trigger = line.annotations.get(TRIGGER)
        if not trigger or line.change is Change.DELETED:
            return
        since = unix_seconds(trigger)
        kind = self._service_kind(line.head.namespace, line.labels.get(SERVICE_LABEL, ""))
        if since is not None and kind is not None:
            self.latency[kind].observe(self._clock.wall() - since)

    def _service_kind(self, namespace: str, name: str) -> str | None:
        """None for a Service that is not known: the watches of Services and slices are two."""
        services, where = self._reflectors.get(Kind.SERVICE), key(Kind.SERVICE, namespace, name)
        if services is None or where not in services:
            return None
        return HEADLESS if where in services.headless else CLUSTER_IP

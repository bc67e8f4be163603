"""The API server as a source: a thread for each resource lists it, watches it, and begins again after any failure."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import msgspec

from clusterdns.kube.objects import Event, Kind, Synced
from clusterdns.kube.stream import Page, head, line, page
from clusterdns.sources.access import JSON, METADATA, Access, AccessError
from clusterdns.sources.reflector import GONE, Broken, Expired, Reflector

# Objects in one page of a list: 500 EndpointSlices are some 9 MB (the API's own clients ask for as many)
PAGE = 500
# The server ends a watch after a random time between these (seconds), so that all clients do not come back at once
WATCH_SECONDS = (300, 600)
# Seconds without a line: bookmarks come every minute, so a watch that is silent for longer is dead
SILENCE = 90.0
# Seconds for one page of a list
LIST_TIMEOUT = 60.0
# Pauses after failures (seconds): doubled each time, then drawn from the upper half
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


_log = logging.getLogger(__name__)


class Resource(msgspec.Struct, frozen=True):
    """Where a kind is found, and what of it is asked for."""

    kind: Kind
    path: str
    selection: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


# Pods that have ended have given their addresses back
_RUNNING = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"}
RESOURCES: Mapping[Kind, Resource] = {
    Kind.NAMESPACE: Resource(Kind.NAMESPACE, "/api/v1/namespaces"),
    Kind.SERVICE: Resource(Kind.SERVICE, "/api/v1/services"),
    Kind.SLICE: Resource(Kind.SLICE, "/apis/discovery.k8s.io/v1/endpointslices"),
    Kind.POD: Resource(Kind.POD, "/api/v1/pods", _RUNNING),
}


class Timing(msgspec.Struct, frozen=True):
    """Seconds; see the constants."""

    silence: float = SILENCE
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE


class ApiServer:
    """`connect` is called until it gives an Access. `emit` gets events and `report` complaints, both from threads of
    this source."""

    def __init__(
        self,
        connect: Callable[[], Access],
        kinds: tuple[Kind, ...],
        emit: Callable[[list[Event]], None],
        report: Callable[[str], None],
        timing: Timing | None = None,
    ) -> None:
        self._connect, self._emit, self._report, self._timing = connect, emit, report, timing or Timing()
        self._reflectors = {kind: Reflector(kind) for kind in kinds}
        self._lock = threading.Lock()
        self._synced = False
        # Kinds whose first list was sent on
        self._listed: set[Kind] = set()
        self._stopped = threading.Event()
        # How many objects of each kind a watch had lost, found and mended
        self.repaired: dict[Kind, int] = dict.fromkeys(kinds, 0)
        # When each kind was last heard of, in monotonic seconds
        self.heard: dict[Kind, float] = {}

    def start(self) -> None:
        for kind in self._reflectors:
            threading.Thread(target=partial(self._run, kind), name=f"watch {kind.value}", daemon=True).start()

    def stop(self) -> None:
        """The threads end with their next event or failure; they keep nothing that must be saved."""
        self._stopped.set()

    def missing(self) -> list[str]:
        """Names of the resources that were not listed yet."""
        return [RESOURCES[kind].name for kind in self._reflectors if kind not in self._listed]

    def _run(self, kind: Kind) -> None:
        """For ever: one round after the other, with pauses after failures."""
        failures, said = 0, ""
        access: Access | None = None
        while not self._stopped.is_set():
            heard = self.heard.get(kind)
            try:
                access = access or self._connect()
                self._round(access, self._reflectors[kind])
                failures, said = 0, ""
            except AccessError as error:
                # A round that heard something was no failure of the server
                failures = 1 if self.heard.get(kind) != heard else failures + 1
                text = complaint(RESOURCES[kind], error)
                if text != said:
                    self._report(text)
                said = text
                self._stopped.wait(error.retry_after or pause(failures, self._timing, random.random()))
            except Exception:
                # A bug must not end the watch for good
                _log.exception("a bug while watching %s; please report it", RESOURCES[kind].name)
                self._reflectors[kind].expire()
                self._stopped.wait(self._timing.longest_pause)

    def _round(self, access: Access, reflector: Reflector) -> None:
        """List if need be, then watch until the watch ends.  Raises AccessError."""
        try:
            if not reflector.version:
                self._list(access, reflector)
            self._watch(access, reflector)
            self._audit(access, reflector)
        except Expired:
            reflector.expire()
        except (Broken, msgspec.MsgspecError) as error:
            reflector.expire()
            raise AccessError(str(error)) from error
        except AccessError as error:
            if error.status == GONE:
                reflector.expire()
                return
            raise

    def _list(self, access: Access, reflector: Reflector) -> None:
        reflector.begin_list()
        version = ""
        for found in _pages(access, RESOURCES[reflector.kind], {}, JSON):
            reflector.take_page(found)
            self._heard(reflector)
            version = found.version
        self._send(reflector, reflector.end_list(version))

    def _audit(self, access: Access, reflector: Reflector) -> None:
        """After each watch: was anything lost on the way? The list is of exactly the version that was watched up to,
        so that any difference is a loss; then everything is listed again. A server that has forgotten that version
        cannot be asked."""
        exactly = {"resourceVersion": reflector.version, "resourceVersionMatch": "Exact"}
        try:
            pages = _pages(access, RESOURCES[reflector.kind], exactly, METADATA)
            there = [head(raw) for found in pages for raw in found.items]
        except AccessError as error:
            if error.status == GONE:
                return
            raise
        if lost := reflector.lost(there):
            self.repaired[reflector.kind] += lost
            name = RESOURCES[reflector.kind].name
            self._report(
                f"kubernetes API: the watch of {name} had lost the state of {lost} objects; they are listed again"
            )
            reflector.expire()

    def _watch(self, access: Access, reflector: Reflector) -> None:
        resource = RESOURCES[reflector.kind]
        seconds = random.randint(*WATCH_SECONDS)
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            "resourceVersion": reflector.version,
            **resource.selection,
        }
        for raw in access.lines(resource.path, asked, self._timing.silence):
            events = reflector.take_line(line(raw))
            self._heard(reflector)
            self._send(reflector, events)
            if self._stopped.is_set():
                return

    def _heard(self, reflector: Reflector) -> None:
        self.heard[reflector.kind] = time.monotonic()

    def _send(self, reflector: Reflector, events: list[Event]) -> None:
        complaints, reflector.complaints = reflector.complaints, []
        for text in complaints:
            self._report(text)
        with self._lock:
            if reflector.listed:
                self._listed.add(reflector.kind)
            if not self._synced and len(self._listed) == len(self._reflectors):
                self._synced = True
                events = [*events, Synced()]
            if events:
                self._emit(events)


def _pages(access: Access, resource: Resource, query: Mapping[str, str], accept: str) -> Iterator[Page]:
    """The pages of a list.  Raises AccessError."""
    asked = {"limit": str(PAGE), **resource.selection, **query}
    while True:
        found = page(access.read(resource.path, asked, LIST_TIMEOUT, accept))
        yield found
        if not found.token:
            return
        # The token stands for the version as well (API concepts, "Retrieving large results sets in chunks")
        asked = {"limit": str(PAGE), **resource.selection, "continue": found.token}


def pause(failures: int, timing: Timing, drawn: float) -> float:
    """Seconds to wait after that many failures in a row; `drawn` from 0 to 1 spreads the clients of one server."""
    longest = min(timing.first_pause * 2.0 ** min(failures - 1, 16), timing.longest_pause)
    return longest * (0.5 + drawn / 2)


def complaint(resource: Resource, error: AccessError) -> str:
    """Resource, verb, the server's answer and what to do."""
    advice = _ADVICE.get(
        error.status, "it is tried again for ever; check the address, and whether the API server is up"
    )
    if "certificate" in str(error).lower():
        advice = "check the CA and the dates of the certificates, and the clock of this machine"
    return f"kubernetes API: list and watch {resource.name}: {error}; {advice}"


_ADVICE: Mapping[int, str] = {
    401: "the token or certificate is not accepted: check the service account or the kubeconfig",
    403: "allow it to the service account: verbs list and watch on this resource (a ClusterRole and its binding)",
    404: "the server does not have this resource: check its version and the address",
    429: "the server is busy; it is tried again",
}

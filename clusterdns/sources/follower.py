"""One resource of the API server followed: a list, then watches, and between them a look for what they have lost."""

import random
from collections.abc import Callable, Iterator, Mapping

import msgspec

from clusterdns.kube.packed import Packed
from clusterdns.kube.stream import Line, Page, line, page
from clusterdns.sources.access import JSON, METADATA, Access
from clusterdns.sources.reflector import GONE, Broken, Expired, Reflector
from clusterdns.sources.refusals import AccessError
from clusterdns.sources.resources import Resource
from clusterdns.sources.timing import Clock, Timing

# Objects in one page of a list: 250 EndpointSlices are some 5 MB, which three lists may need at a time
PAGE = 250
# API concepts, "Streaming lists"; a server without them refuses the request (422, before that 400)
_STREAMING = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": ""}
_NO_STREAMS = (400, 422)
# API concepts, "Unavailable resource versions": the server is behind us, its data was restored from a backup
_AHEAD = "Too large resource version"


class Follower:
    """Each `round` is to be run to its end, one after the other.

    `heed` gets each line of a watch that brought a change. `heard`: when the server last told something, in monotonic
    seconds, at first the beginning. `verb`: what is being asked, as RBAC calls it. `failure`: why the last round
    failed, kept by whoever runs them. `repaired`: objects of which watches had lost the state.
    """

    def __init__(
        self, resource: Resource, reflector: Reflector, timing: Timing, clock: Clock, heed: Callable[[Line], None]
    ) -> None:
        self.resource, self.reflector = resource, reflector
        self.verb, self.failure, self.repaired = "list", "", 0
        self.heard = clock.monotonic()
        self._timing, self._clock, self._heed = timing, clock, heed
        self._audit_from = 0.0
        # The streaming list was cut short: the next list comes in pages
        self._in_pages = False

    def round(self, access: Access) -> Iterator[list[Packed]]:
        """List if need be, then watch until the watch ends; yields what to send on.  Raises AccessError."""
        try:
            if self.reflector.version and self._clock.monotonic() >= self._audit_from:
                self._audit(access)
            if not self.reflector.version:
                yield from self._list_and_watch(access)
            else:
                yield from self._resume(access)
        except Expired:
            self.reflector.expire()
        except Broken as error:
            raise AccessError(str(error)) from error
        except msgspec.MsgspecError as error:
            # Nobody knows what it was to say
            self.reflector.expire()
            raise AccessError(f"the answer is not understood: {error}") from error
        except AccessError as error:
            watching = self.reflector.version
            if error.status == GONE or _AHEAD in str(error):
                self.reflector.expire()
            # To be late for a watch is no failure
            if error.status != GONE or not watching:
                raise

    def _list_and_watch(self, access: Access) -> Iterator[list[Packed]]:
        self.reflector.begin_list()
        if access.streams and not self._in_pages:
            try:
                yield from self._watch(access, _STREAMING)
                return
            except AccessError as error:
                if error.status not in _NO_STREAMS:
                    raise
                access.streams = False
            finally:
                self._in_pages = self.reflector.listing
        self.verb = "list"
        version = self._pages(access, {}, JSON, self.reflector.take_page)
        self._in_pages = False
        self._listed()
        yield self.reflector.end_list(version)
        yield from self._resume(access)

    def _resume(self, access: Access) -> Iterator[list[Packed]]:
        return self._watch(access, {"resourceVersion": self.reflector.version})

    def _watch(self, access: Access, begin: Mapping[str, str]) -> Iterator[list[Packed]]:
        self.verb = "watch"
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*self._timing.watch)),
            **begin,
            **self.resource.selection,
        }
        for raw in access.lines(self.resource.path, asked, self._timing.silence):
            heard, listing = line(raw), self.reflector.listing
            changes = self.reflector.take_line(heard)
            self.heard = self._clock.monotonic()
            if listing and not self.reflector.listing:
                self._listed()
            elif changes:
                self._heed(heard)
            yield changes

    def _audit(self, access: Access) -> None:
        """Was anything lost on the way? The list is of exactly the version that was watched up to, so that any
        difference is a loss; then everything is listed again. A server that has forgotten that version cannot be
        asked."""
        # First, so that one that fails does not keep the watch from going on
        self._listed()
        self.verb = "list"
        exactly = {"resourceVersion": self.reflector.version, "resourceVersionMatch": "Exact"}
        audit = self.reflector.audit()
        try:
            self._pages(access, exactly, METADATA, audit.take)
        except AccessError as error:
            if error.status == GONE:
                return
            raise
        if audit.lost:
            self.repaired += audit.lost
            self.reflector.complain(
                f"kubernetes API: the watch of {self.resource.name} had lost the state of {audit.lost} objects; "
                "they are listed again"
            )
            self.reflector.expire()

    def _listed(self) -> None:
        self._audit_from = self._clock.monotonic() + self._timing.audit

    def _pages(self, access: Access, query: Mapping[str, str], accept: str, take: Callable[[Page], None]) -> str:
        """Each page of a list to `take`, one at a time in memory; returns the version of the list.

        Raises AccessError.
        """
        asked = {"limit": str(PAGE), **self.resource.selection, **query}
        while True:
            found = page(access.read(self.resource.path, asked, self._timing.page, accept))
            self.heard = self._clock.monotonic()
            take(found)
            version, token = found.version, found.token
            if not token:
                return version
            del found
            # The token stands for the version as well (API concepts, "Retrieving large results sets in chunks")
            asked = {"limit": str(PAGE), **self.resource.selection, "continue": token}

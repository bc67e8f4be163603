"""The state of the fake API server under one lock: what it knows, what it was asked, what is wrong with it."""

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.apiserver_faults import Fault, Faults, Stage, Verb
from tests.support.apiserver_list import listing
from tests.support.apiserver_options import Options
from tests.support.apiserver_request import Request
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_store import Change, Store
from tests.support.apiserver_stream import Stream
from tests.support.apiserver_watches import Wake, Watch, Watches

# Requests that are remembered.
_MEMORY = 100_000


class State:
    """Every method may be called from any thread, and takes effect as a whole.

    `changed` is the lock; it is notified when a request comes, a watch opens or closes, or an object changes.
    """

    def __init__(self, tokens: Iterable[str] | None) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._store = Store()
        self._faults = Faults()
        self._watches = Watches()
        self._requests: deque[Request] = deque(maxlen=_MEMORY)
        self.set_tokens(tokens)

    @property
    def revision(self) -> int:
        """The newest of all."""
        with self.changed:
            return self._store.revision

    @property
    def requests(self) -> list[Request]:
        """In the order of arrival."""
        with self.changed:
            return list(self._requests)

    @property
    def tokens(self) -> frozenset[str] | None:
        """The bearer tokens that are good; None: nobody needs one."""
        with self.changed:
            return self._tokens

    def set_tokens(self, tokens: Iterable[str] | None) -> None:
        """From now on."""
        with self.changed:
            self._tokens = None if tokens is None else frozenset(tokens)

    def watchers(self, resource: str | None) -> list[Request]:
        """The requests of the open watches."""
        with self.changed:
            return [watch.request for watch in self._watches.of(resource)]

    def wait(self, condition: Callable[[], bool], deadline: float) -> None:
        """Until the condition, called under the lock, holds. Raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(condition, deadline):
                last = [f"{asked.verb.value} {asked.path}" for asked in list(self._requests)[-5:]]
                raise TimeoutError(f"not so within {deadline} s; the last requests were {last}")

    def put(self, resource: Resource, key: str, manifest: Mapping[str, Any]) -> int:
        """Create or replace; the new revision."""
        return self._change(resource, functools.partial(self._store.put, resource, key, manifest))

    def delete(self, resource: Resource, key: str) -> int:
        """The revision of the deletion. Raises KeyError."""
        return self._change(resource, functools.partial(self._store.delete, resource, key))

    def compact(self) -> None:
        """Forget history."""
        with self.changed:
            self._store.compact()

    def add_fault(self, fault: Fault, resource: str | None, verb: Verb | None, times: int | None) -> None:
        """See Faults.add."""
        with self.changed:
            self._faults.add(fault, resource, verb, times)

    def clear_faults(self) -> None:
        """See Faults.clear."""
        with self.changed:
            self._faults.clear()

    def bookmark(self, resource: str | None, revision: int | None) -> None:
        """To every watch of a resource or (None) all; None is the newest revision."""
        with self.changed:
            self._watches.bookmark(self._store.revision if revision is None else revision, resource)

    def bookmark_one(self, watch: Watch) -> None:
        """To one watch, from the thread that sends it."""
        with self.changed:
            watch.stream.bookmark(self._store.revision)

    def end_watches(self, resource: str | None) -> None:
        """In good order."""
        with self.changed:
            self._watches.end(resource)

    def record(self, asked: Request) -> Fault | None:
        """A request that came, and what will be wrong with its answer."""
        with self.changed:
            self._requests.append(asked)
            self.changed.notify_all()
            return self._faults.take(Stage.REQUEST, asked.resource, asked.verb)

    def listing(self, resource: Resource, asked: Options) -> tuple[bytes, Fault | None]:
        """The body of a list, and what is wrong with it. Raises StatusError."""
        with self.changed:
            body = listing(self._store, resource, asked)
            return body, self._faults.take(Stage.LINE, resource.plural, Verb.LIST)

    def open(self, resource: Resource, asked: Options, request: Request, wake: Wake) -> Watch:
        """A watch, from its first line on. Raises StatusError."""
        with self.changed:
            take = functools.partial(self._faults.take, Stage.LINE, resource.plural, Verb.WATCH)
            watch = Watch(Stream(self._store, resource, asked, take), request, wake)
            self._watches.add(watch)
            self.changed.notify_all()
            return watch

    def close(self, watch: Watch) -> None:
        """Its connection is gone."""
        with self.changed:
            self._watches.remove(watch)
            self.changed.notify_all()

    def _change(self, resource: Resource, write: Callable[[bool], Change]) -> int:
        with self.changed:
            fault = self._faults.take(Stage.CHANGE, resource.plural, Verb.WATCH)
            change = write(fault is not Fault.DROPPED)
            if change.told:
                self._watches.tell(change, fault)
            self.changed.notify_all()
            return change.revision

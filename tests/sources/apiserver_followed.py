"""An API source at work on the fake API server, and what it brought."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from clusterdns.kube.objects import Kind
from clusterdns.kube.packed import SYNCED, Packed, unpack
from clusterdns.kube.store import Store
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.access import Access
from clusterdns.sources.apiserver import ApiServer
from clusterdns.sources.timing import Clock, Timing
from tests.support.apiserver import FakeAPIServer

KINDS = (Kind.NAMESPACE, Kind.SERVICE, Kind.SLICE)
# Seconds: retries at once, and each watch is looked at for losses
QUICK = Timing(audit=0.0, first_pause=0.01, longest_pause=0.05)
# Seconds: far above what anything takes
DEADLINE = 10.0

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}


def service(name: str, address: str = "10.0.0.1") -> dict[str, Any]:
    addresses = [] if address == "None" else [address]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": addresses or ["None"], "ports": [{"port": 80}]},
    }


def endpoint_slice(name: str, address: str = "10.1.0.1", owner: str = "web", **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": owner},
            "annotations": annotations,
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "name": f"pod-of-{name}"}}],
        "ports": [{"name": "http", "port": 80}],
    }


class Followed:
    """A source, its objects in a store and in `packed`, and what it complained about. `batches`: what was emitted."""

    def __init__(
        self,
        spec: SourceSpec,
        kinds: tuple[Kind, ...] = KINDS,
        timing: Timing = QUICK,
        clock: Clock | None = None,
        connect: Callable[[], Access] | None = None,
    ) -> None:
        self.store = Store()
        self.packed: dict[bytes, bytes] = {}
        self.complaints: list[str] = []
        self.batches: list[list[Packed]] = []
        self._changed = threading.Condition()
        self.source = ApiServer(
            spec, connect or partial(Access, spec), kinds, self._emit, self._report, timing, clock or Clock()
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Looked at with each change and each complaint."""
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), self.complaints

    def address(self, name: str) -> str | None:
        """The ClusterIP of default/NAME as the store has it."""
        found = self.store.services.get(bytes((len(name),)) + name.encode() + b"\x07default")
        return ".".join(str(octet) for octet in found.addresses[0]) if found and found.addresses else None

    def synced(self) -> bool:
        return self.store.synced

    def _emit(self, changes: list[Packed]) -> None:
        with self._changed:
            self.batches.append(changes)
            for change in changes:
                self.store.apply(unpack(change), 1)
                if change.payload:
                    self.packed[change.key] = change.payload
                elif change != SYNCED:
                    del self.packed[change.key]
            self._changed.notify_all()

    def _report(self, text: str) -> None:
        with self._changed:
            self.complaints.append(text)
            self._changed.notify_all()


@contextmanager
def running(following: Followed) -> Iterator[Followed]:
    following.source.start()
    try:
        yield following
    finally:
        following.source.stop()


@contextmanager
def watching(api: FakeAPIServer, **options: Any) -> Iterator[Followed]:
    """Synced, and with every watch open."""
    with running(Followed(SourceSpec(endpoint=api.url), **options)) as following:
        following.until(following.synced)
        api.wait(lambda: len(api.watchers()) == len(KINDS))
        yield following

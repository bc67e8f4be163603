"""Where directives are set up: one `Site` for each server block, one `Shared` for the whole configuration."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import msgspec

from clusterdns.corefile.reader import Reader
from clusterdns.corefile.values import within
from clusterdns.errors import ConfigError
from clusterdns.kube.selectors import Selector
from clusterdns.kube.store import Store
from clusterdns.plugins.base import Observer

# The address and port of a client -> a small integer: the class of clients that get the same answers
Classifier = Callable[[str], int]


class Timed(Protocol):
    """What wants to be called every second."""

    def tick(self, now: float) -> None:
        """`now`: monotonic seconds."""


class SourceSpec(msgspec.Struct, frozen=True):
    """Where the objects of a store come from: `manifests` paths; without them the API server, and without `endpoint`
    and `kubeconfig` the one of the cluster that this pod runs in. `tls`: certificate, key and CA files."""

    manifests: tuple[str, ...] = ()
    endpoint: str = ""
    tls: tuple[str, ...] = ()
    kubeconfig: str = ""
    context: str = ""


class Shared(msgspec.Struct):
    """What all server blocks have in common.

    `write` takes a finished line of the query log or the error log. `stores`: one for each source and selector.
    `pods`: the sources of which pods are wanted.
    """

    reader: Reader
    write: Callable[[str], None]
    stores: dict[tuple[SourceSpec, Selector], Store] = msgspec.field(default_factory=dict)
    pods: set[SourceSpec] = msgspec.field(default_factory=set)
    timed: list[Timed] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)
    errors: list[ConfigError] = msgspec.field(default_factory=list)

    def store(self, source: SourceSpec, selector: Selector) -> Store:
        """The store of that source, made when it is first asked for."""
        return self.stores.setdefault((source, selector), Store(selector))


class Site(msgspec.Struct):
    """One server block while it is set up.

    `zones`: its zones in lower case. `addresses`: what `bind` asks for, empty for the wildcard. `observers` and
    `reporters`: as in `Block`. `recursive`: it forwards;
    `forwards`: how often. `classifiers`: of plugins whose answer depends on the client.
    """

    shared: Shared
    zones: tuple[bytes, ...]
    addresses: list[str] = msgspec.field(default_factory=list)
    observers: list[Observer] = msgspec.field(default_factory=list)
    reporters: list[Observer] = msgspec.field(default_factory=list)
    classifiers: list[Classifier] = msgspec.field(default_factory=list)
    recursive: bool = False
    forwards: int = 0

    @contextmanager
    def collecting(self, *names: str) -> Iterator[None]:
        """Add a mistake found inside to the errors, under these names (directive, option), and go on behind it."""
        try:
            with ExitStack() as stack:
                for name in names:
                    stack.enter_context(within(name))
                yield
        except ConfigError as error:
            self.shared.errors.append(error)

    @property
    def reader(self) -> Reader:
        return self.shared.reader

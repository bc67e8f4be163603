"""Where directives are set up: one `Site` for each server block, one `Shared` for the whole configuration."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

import msgspec

from clusterdns.corefile.reader import Reader
from clusterdns.corefile.values import within
from clusterdns.errors import ConfigError
from clusterdns.kube.selectors import Selector
from clusterdns.kube.store import Store
from clusterdns.plugins.base import Context, Observer
from clusterdns.wire.encode import MAX_MESSAGE

# The address and port of a client -> a small integer: the class of clients that get the same answers
Classifier = Callable[[str], int]


class Timed(Protocol):
    """What wants to be called every second."""

    def tick(self, now: float) -> None:
        """`now`: monotonic seconds."""


class SourceSpec(msgspec.Struct, frozen=True):
    """Where the objects of a store come from: `manifests` paths; without them the API server, and without `endpoint`
    and `kubeconfig` the one of the cluster that this pod runs in. `tls`: certificate, key and CA files.

    `snapshot`: the file that the last known state is kept in, empty for none. `pods`: pods are wanted; `pod_names`:
    their names are. `qps`, `burst`, `inflight`: limits of requests to the API server, 0 for none. `patience`: seconds
    that a start or a reload waits for the first complete list before it goes on without.
    """

    manifests: tuple[str, ...] = ()
    endpoint: str = ""
    tls: tuple[str, ...] = ()
    kubeconfig: str = ""
    context: str = ""
    snapshot: str = ""
    pods: bool = False
    pod_names: bool = False
    qps: float = 0.0
    burst: int = 0
    inflight: int = 0
    patience: float = 5.0


# Host and port of an HTTP listener; an empty host is all addresses
Where = tuple[str, int]


class Process(msgspec.Struct):
    """What blocks ask of the process, not of its answers.

    `health`: seconds of lameduck by address. `ready`: by address, whether readiness may be lost again
    (`continuously`). `reload`: seconds between two looks at the Corefile, and of jitter; None: only on a signal.
    `workers`: what `multisocket` says, 0 for as many as there are CPUs; None without it.
    """

    health: dict[Where, float] = msgspec.field(default_factory=dict)
    ready: dict[Where, bool] = msgspec.field(default_factory=dict)
    reload: tuple[float, float] | None = None
    workers: int | None = None

    @property
    def lameduck(self) -> float:
        """The longest of all pages, in seconds."""
        return max(self.health.values(), default=0.0)


class Shared(msgspec.Struct):
    """What all server blocks have in common.

    `write` takes a finished line of the query log or the error log. `stores`: one for each source and selector.
    `kept`: those of the configuration before.
    """

    reader: Reader
    write: Callable[[str], None]
    kept: Mapping[tuple[SourceSpec, Selector], Store] = msgspec.field(default_factory=dict)
    stores: dict[tuple[SourceSpec, Selector], Store] = msgspec.field(default_factory=dict)
    timed: list[Timed] = msgspec.field(default_factory=list)
    process: Process = msgspec.field(default_factory=Process)
    warnings: list[str] = msgspec.field(default_factory=list)
    errors: list[ConfigError] = msgspec.field(default_factory=list)

    def store(self, source: SourceSpec, selector: Selector) -> Store:
        """The store of that source, made when it is first asked for."""
        where = (source, selector)
        return self.stores.setdefault(where, self.kept.get(where) or Store(selector))

    def stores_of(self, source: SourceSpec) -> list[Store]:
        """One for each selector."""
        return [store for (spec, _), store in self.stores.items() if spec == source]


class Site(msgspec.Struct):
    """One server block while it is set up.

    `zones`: its zones in lower case. `addresses`: what `bind` asks for, empty for the wildcard. `observers` and
    `reporters`: as in `Block`. `recursive`: it forwards; `forwards`: how often. `payload`: the largest UDP reply in
    octets. `classifiers`: of plugins whose answer depends on the client, added by `classified`.
    """

    shared: Shared
    zones: tuple[bytes, ...]
    addresses: list[str] = msgspec.field(default_factory=list)
    observers: list[Observer] = msgspec.field(default_factory=list)
    reporters: list[Observer] = msgspec.field(default_factory=list)
    classifiers: list[Classifier] = msgspec.field(default_factory=list)
    recursive: bool = False
    forwards: int = 0
    payload: int = MAX_MESSAGE

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

    def classified(self, classify: Classifier) -> Callable[[Context], int]:
        """Have the class of each client join the memo's key; returns how a handler reads it, which bars nothing."""
        if classify not in self.classifiers:
            self.classifiers.append(classify)
        return lambda ctx: classify(ctx.hidden_address[0])

    @property
    def reader(self) -> Reader:
        return self.shared.reader

"""What a lookup is given, and what it can answer."""

from enum import Enum

import msgspec

from clusterdns.kube.selectors import Selector
from clusterdns.kube.store import Store
from clusterdns.wire.codes import Type
from clusterdns.wire.records import RRset, Section, addresses, name_rrset


class Pods(Enum):
    """`pods`: whether `a-b-c-d.namespace.pod` names are answered."""

    DISABLED = "disabled"
    INSECURE = "insecure"
    VERIFIED = "verified"


class Miss(Enum):
    """The answers without records."""

    NO_DATA = "the name exists, the type does not"
    NO_NAME = "no such name, and no name below it"
    NOT_SYNCED = "the name may exist, the first list is not complete"


class Found(msgspec.Struct, frozen=True, gc=False):
    """Records of the type that was asked for."""

    answer: Section
    additional: Section = ()


class Alias(msgspec.Struct, frozen=True, gc=False):
    """A CNAME whose `target` is to be looked up through the whole server."""

    cname: RRset
    target: bytes


Result = Found | Alias | Miss


class View(msgspec.Struct, frozen=True):
    """What one `kubernetes` block shows of its store.

    `zones`: names in lower case; `primary` the first of them that is not a reverse zone. `namespaces`: keys of the
    namespaces shown, empty for all. `fallback`: packed addresses that `ns.dns` has where there is no Service
    kube-system/kube-dns. `reverse`: those of `zones` that hold addresses. `ttl` in seconds.
    """

    zones: tuple[bytes, ...]
    primary: bytes
    ttl: int = 5
    pods: Pods = Pods.DISABLED
    endpoint_pod_names: bool = False
    noendpoints: bool = False
    ignore_empty: bool = False
    namespaces: frozenset[bytes] = frozenset()
    namespace_labels: Selector = ()
    fallback: tuple[bytes, ...] = ()
    reverse: frozenset[bytes] = frozenset()


class Question(msgspec.Struct, gc=False):
    """One name and type below one zone of a view. `starts`: label offsets of `name`; `depth`: how many of its labels
    are left of the zone. `keys` collects what was read of the store."""

    store: Store
    view: View
    name: bytes
    starts: tuple[int, ...]
    depth: int
    qtype: int
    keys: list[bytes] = msgspec.field(default_factory=list)

    @property
    def zone(self) -> bytes:
        return self.name[self.starts[self.depth] :]

    def labels(self, first: int, end: int) -> bytes:
        """Wire labels `first` up to `end`, counted from the left."""
        return self.name[self.starts[first] : self.starts[end]]

    def missing(self) -> Miss:
        """For a name that an object not heard of yet might create."""
        return Miss.NO_NAME if self.store.synced else Miss.NOT_SYNCED

    def ruled_out(self) -> Miss:
        """For a name that an object leaves no room for; since a snapshot it may have become another one."""
        return Miss.NOT_SYNCED if self.store.restored else Miss.NO_NAME

    def of_type(self, packed: tuple[bytes, ...]) -> Result:
        """A name that has addresses, asked for any type."""
        if self.qtype == Type.A:
            found = tuple(address for address in packed if len(address) == 4)
        elif self.qtype == Type.AAAA:
            found = tuple(address for address in packed if len(address) == 16)
        else:
            return Miss.NO_DATA
        return Found((RRset(self.name, self.qtype, self.view.ttl, found),)) if found else Miss.NO_DATA

    def alias(self, target: bytes) -> Result:
        """A name that stands for another one, asked for any type."""
        cname = name_rrset(self.name, Type.CNAME, self.view.ttl, (target,))
        # RFC 1034 4.3.2: a question that the CNAME itself answers ends there
        return Found((cname,)) if self.qtype in (Type.CNAME, Type.ANY) else Alias(cname, target)

    def addresses(self, owner: bytes, packed: tuple[bytes, ...]) -> Section:
        return addresses(owner, packed, self.view.ttl)

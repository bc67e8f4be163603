"""What can be wrong with the fake API server, and for which requests it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

# Seconds before the first byte under SLOW_FIRST_BYTE.
SLOW = 1.0


class Verb(Enum):
    """What a request is, as RBAC calls it."""

    LIST = "list"
    WATCH = "watch"
    GET = "get"


class Stage(Enum):
    """Where a fault strikes, and so what is counted: requests, lines (a list is one line), changes."""

    REQUEST = auto()
    LINE = auto()
    CHANGE = auto()
    LISTENER = auto()


class Fault(Enum):
    """What is wrong. The comment says what the client sees."""

    # The answer to a request: these statuses; 429 has Retry-After and, as from a real server, a body of plain text.
    GONE = auto()
    TOO_MANY_REQUESTS = auto()
    INTERNAL_ERROR = auto()
    UNAVAILABLE = auto()
    FORBIDDEN = auto()
    # 200 and no octet of body.
    EMPTY_BODY = auto()
    # The request is taken and never answered.
    SILENT = auto()
    # The right answer after SLOW seconds.
    SLOW_FIRST_BYTE = auto()

    # In place of a line of a watch, or of the body of a list: half of it and the end of the connection.
    CUT = auto()
    # Of a list half, of a watch nothing more, while the connection stays open; timeoutSeconds does not end it.
    STALLED = auto()
    # Something that is no JSON; a watch then goes on.
    INVALID_JSON = auto()
    # A 410 in an ERROR event, and the end of the watch.
    EXPIRED_EVENT = auto()

    # A change is told twice; after the next one; never, though lists show it.
    DUPLICATED = auto()
    OUT_OF_ORDER = auto()
    DROPPED = auto()

    # Nobody listens, and every connection is cut.
    REFUSED = auto()


STAGES: Mapping[Fault, Stage] = {
    Fault.GONE: Stage.REQUEST,
    Fault.TOO_MANY_REQUESTS: Stage.REQUEST,
    Fault.INTERNAL_ERROR: Stage.REQUEST,
    Fault.UNAVAILABLE: Stage.REQUEST,
    Fault.FORBIDDEN: Stage.REQUEST,
    Fault.EMPTY_BODY: Stage.REQUEST,
    Fault.SILENT: Stage.REQUEST,
    Fault.SLOW_FIRST_BYTE: Stage.REQUEST,
    Fault.CUT: Stage.LINE,
    Fault.STALLED: Stage.LINE,
    Fault.INVALID_JSON: Stage.LINE,
    Fault.EXPIRED_EVENT: Stage.LINE,
    Fault.DUPLICATED: Stage.CHANGE,
    Fault.OUT_OF_ORDER: Stage.CHANGE,
    Fault.DROPPED: Stage.CHANGE,
    Fault.REFUSED: Stage.LISTENER,
}

# A list has no events.
_WATCH_ONLY = frozenset({Fault.EXPIRED_EVENT, Fault.DUPLICATED, Fault.OUT_OF_ORDER, Fault.DROPPED})
# RBAC speaks of collections.
_COLLECTION_ONLY = frozenset({Fault.FORBIDDEN})


@dataclass(slots=True)
class _Order:
    """One fault that was asked for; None is every resource, every verb, and no end."""

    fault: Fault
    resource: str | None
    verb: Verb | None
    left: int | None

    def fits(self, stage: Stage, resource: str | None, verb: Verb) -> bool:
        if STAGES[self.fault] is not stage or self.left == 0:
            return False
        if resource is None and self.fault in _COLLECTION_ONLY:
            return False
        if verb is not Verb.WATCH and self.fault in _WATCH_ONLY:
            return False
        return self.resource in (None, resource) and self.verb in (None, verb)


class Faults:
    """The faults in force. Each request, line or change meets at most one: the oldest that fits."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []

    def add(self, fault: Fault, resource: str | None, verb: Verb | None, times: int | None) -> None:
        """From now on, for the next `times`; None is until cleared."""
        self._orders.append(_Order(fault, resource, verb, times))

    def take(self, stage: Stage, resource: str | None, verb: Verb) -> Fault | None:
        """The fault that strikes now; it is used up by one."""
        order = next((order for order in self._orders if order.fits(stage, resource, verb)), None)
        if order is None:
            return None
        if order.left is not None:
            order.left -= 1
        self._orders = [kept for kept in self._orders if kept.left != 0]
        return order.fault

    def clear(self) -> None:
        """All is well again; what was told wrong or is stalled already stays so."""
        self._orders.clear()

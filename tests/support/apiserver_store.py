"""The fake etcd: the objects, one counter of revisions for all kinds, and a history that can be forgotten."""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.apiserver_objects import Stored, stored
from tests.support.apiserver_resources import RESOURCES, Resource

# Changes that are remembered; older resource versions are compacted.
HISTORY = 100_000


class CompactedError(Exception):
    """The revision is older than what is remembered."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened at one revision; `before` None is a creation, `after` None a deletion.

    An untold change is in lists and in no watch, ever.
    """

    resource: Resource
    key: str
    revision: int
    before: Stored | None
    after: Stored | None
    told: bool


class Store:
    """`revision` is the newest, `oldest` the first whose state is still known."""

    def __init__(self) -> None:
        # A new cluster has written a few hundred objects of its own before it serves.
        self.revision = 1000
        self.oldest = self.revision
        self._objects: dict[str, dict[str, Stored]] = {plural: {} for plural in RESOURCES}
        self._history: deque[Change] = deque(maxlen=HISTORY)

    def put(self, resource: Resource, key: str, manifest: Mapping[str, Any], told: bool = True) -> Change:
        """Create or replace."""
        before = self._objects[resource.plural].get(key)
        after = stored(resource, manifest, self.revision + 1, before)
        self._objects[resource.plural][key] = after
        return self._remember(resource, key, before, after, told)

    def delete(self, resource: Resource, key: str, told: bool = True) -> Change:
        """KeyError when there is no such object."""
        return self._remember(resource, key, self._objects[resource.plural].pop(key), None, told)

    def at(self, resource: Resource, revision: int) -> list[Stored]:
        """The collection as it was at a revision, in the order of its keys. Raises CompactedError."""
        state = dict(self._objects[resource.plural])
        for change in self._newest_first(resource, revision):
            if change.before is None:
                del state[change.key]
            else:
                state[change.key] = change.before
        return [state[key] for key in sorted(state)]

    def since(self, resource: Resource, revision: int) -> list[Change]:
        """What was told of the collection after a revision, in order. Raises CompactedError."""
        return [change for change in self._newest_first(resource, revision) if change.told][::-1]

    def compact(self) -> None:
        """Something else is written, and every revision before that is forgotten."""
        self._history.clear()
        self.revision += 1
        self.oldest = self.revision

    def _newest_first(self, resource: Resource, revision: int) -> Iterator[Change]:
        if revision < self.oldest:
            raise CompactedError(f"revision {revision} is older than {self.oldest}")
        newer = itertools.takewhile(lambda change: change.revision > revision, reversed(self._history))
        return (change for change in newer if change.resource is resource)

    def _remember(
        self, resource: Resource, key: str, before: Stored | None, after: Stored | None, told: bool
    ) -> Change:
        self.revision += 1
        if len(self._history) == HISTORY:
            self.oldest = self._history[0].revision
        change = Change(resource, key, self.revision, before, after, told)
        self._history.append(change)
        return change

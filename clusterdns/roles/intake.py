"""What the feed tells, into the stores: one follower for each source of the configuration, and of the next one."""

import msgspec

from clusterdns.plugins.build import Config
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.serving import Serving
from clusterdns.sources.feed import Follower, Message, Told, Want


def source_id(source: SourceSpec) -> bytes:
    """How a source is called between processes that have loaded the same configuration."""
    return msgspec.msgpack.encode(source)


def sources(config: Config) -> list[SourceSpec]:
    """Each once, in the order of the Corefile."""
    return list(dict.fromkeys(spec for spec, _ in config.shared.stores))


class Intake:
    """`hold`: queries are answered already, so a first listing is taken in as a whole."""

    def __init__(self, serving: Serving, hold: bool) -> None:
        self._serving, self.hold = serving, hold
        self._followers: dict[bytes, Follower] = {}
        self._specs: dict[bytes, SourceSpec] = {}
        # Sources of which everything must be told again
        self._again: set[bytes] = set()

    def follow(self, *configs: Config) -> None:
        """From now on, the sources of these configurations: the one that is served, and the next one."""
        self._specs = {source_id(spec): spec for config in configs for spec in sources(config)}
        self._followers = {key: self._followers.get(key) or Follower() for key in self._specs}
        known = configs[0].shared.stores if len(configs) > 1 else {}
        for where in configs[-1].shared.stores:
            if where not in known:
                key = source_id(where[0])
                self._followers[key].forget()
                self._again.add(key)

    def want(self, worker: int) -> Want:
        """What to subscribe to. Everything in `again` is listed anew."""
        again, self._again = self._again, set()
        return Want(worker, tuple(self._specs), tuple(again))

    def take(self, message: Message) -> None:
        """Ignores what is told of a source that is not followed any more."""
        follower = self._followers.get(message.source)
        if follower is None:
            return
        follower.hold = self.hold
        spec, changes = self._specs[message.source], follower.take(message)
        serial = getattr(message, "serial", 0)
        if changes:
            self._serving.apply(spec, changes, serial)
        if isinstance(message, Told) and follower.whole:
            self._serving.reach(spec, follower.state, serial)

    @property
    def heard(self) -> bool:
        """Has every source told what it knows, be it nothing?"""
        return all(follower.heard for follower in self._followers.values())

    @property
    def filled(self) -> bool:
        """Is every source known as a whole?"""
        return all(follower.whole for follower in self._followers.values())

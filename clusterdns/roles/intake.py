"""What the feed tells, into the stores: one follower for each source of the configuration, and of the next one."""

import logging

import msgspec

from clusterdns.kube.store import Store
from clusterdns.plugins.build import Config
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.serving import Serving
from clusterdns.sources.feed import Follower, Message, Told, Want
from clusterdns.sources.table import State

_log = logging.getLogger("clusterdns")


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
        # Those that are told of everything
        self._stores: list[Store] = []
        # Sources of which everything must be told again
        self._again: set[bytes] = set()

    def follow(self, *configs: Config) -> None:
        """From now on, the sources of these configurations: the one that is served, and the next one."""
        self._specs = {source_id(spec): spec for config in configs for spec in sources(config)}
        self._followers = {key: self._followers.get(key) or Follower() for key in self._specs}
        known, self._stores = self._stores, [store for config in configs for store in config.shared.stores.values()]
        fresh = {id(store) for store in self._stores} - {id(store) for store in known}
        for config in configs:
            for (spec, _), store in config.shared.stores.items():
                if id(store) in fresh:
                    self._followers[source_id(spec)].forget()
                    self._again.add(source_id(spec))

    def want(self, worker: int) -> Want:
        """What to subscribe to. Everything in `again` is listed anew."""
        again, self._again = self._again, set()
        return Want(worker, tuple(self._specs), tuple(again), self._serving.serial)

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
    def settled(self) -> bool:
        """Does every source have something to answer from?"""
        return all(follower.heard and follower.settled for follower in self._followers.values())

    def known(self, config: Config | None) -> bool:
        """Does what is served have something to answer from, whatever else is being prepared?"""
        if config is None:
            return False
        followers = [self._followers.get(source_id(spec)) for spec in sources(config)]
        return all(follower is not None and follower.state >= State.RESTORED for follower in followers)

    @property
    def filled(self) -> bool:
        """Is every source known as a whole?"""
        return all(follower.whole for follower in self._followers.values())


def take_guarded(intake: Intake, message: Message) -> None:
    """What cannot be used is ours, so a bug; the rest of what is told is good."""
    try:
        intake.take(message)
    except (msgspec.MsgspecError, ValueError, LookupError):
        _log.exception("a message of the feed cannot be used; please report it")


def patience(config: Config) -> float:
    """Seconds to wait for the sources of a configuration before it is served as it is (`startup_timeout`)."""
    return max((spec.patience for spec in sources(config)), default=0.0)

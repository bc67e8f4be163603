"""Processes are killed and the Corefile changes while clients ask: no answer is wrong, and hardly any is missing."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from tests.roles.live import (
    Block,
    Place,
    api_server,
    ask,
    clients,
    everybody_says,
    kill,
    none_lost,
    placed,
    rcode,
    service,
    ttl,
)
from tests.support.apiserver import FakeAPIServer
from tests.support.process import Server, eventually

# Looked at every 2 s, the least there is, without jitter
DIRECTIVES = (*Block("").directives, "reload 2s 0s")


@dataclass(frozen=True, slots=True)
class Live:
    """A server that all tests of this file share; each begins and ends with two workers and a controller."""

    place: Place
    api: FakeAPIServer
    server: Server
    ttls: Iterator[int]

    def write(self, *options: str) -> int:
        """Another configuration; returns the TTL that tells it from all others."""
        changed = next(self.ttls)
        self.place.write(Block(f"endpoint {self.api.url}", changed, DIRECTIVES, options))
        return changed

    def reload(self, *options: str) -> None:
        """Until all workers have it."""
        expected = self.write(*options)
        self.server.signal(signal.SIGHUP)
        self.server.await_workers(2)
        assert eventually(lambda: self.answers_with(expected)), self.server.output()

    def answers_with(self, expected: int) -> bool:
        """Do all workers show that TTL?"""
        return self.server.by_each_worker(lambda: ttl(ask("web"))) == [expected, expected]

    def follows(self, name: str) -> None:
        """Wait until all workers answer a Service that is created now."""
        self.api.put(service(name, "10.0.0.9"))
        assert everybody_says(self.server, name, ["10.0.0.9"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with placed(tmp_path_factory.mktemp("live")) as place, api_server() as api:
        ttls = count(30)
        place.write(Block(f"endpoint {api.url}", next(ttls), DIRECTIVES))
        with place.serve() as server:
            server.await_workers(2)
            yield Live(place, api, server, ttls)


def test_a_worker_that_is_killed_loses_the_query_in_its_hand_at_most(live):
    with clients() as report:
        for _ in range(3):
            kill(live.server.workers()[0])
            live.server.await_workers(2)
    assert report.sent == report.answered + report.lost
    assert report.lost <= 3
    assert report.wrong_replies == []
    # A stub resolver asks a second time
    for _, name in report.lost_queries:
        assert rcode(ask(name)) == "NOERROR"
    live.follows("after-worker-kills")


def test_a_controller_that_is_killed_loses_nothing(live):
    with clients() as report:
        for turn in range(3):
            before = live.server.controller
            kill(before)
            assert eventually(lambda: live.server.controller)
            # What changed while it was away, or after
            live.follows(f"after-controller-kill-{turn}")
    none_lost(report)
    assert live.server.output().count("controller was killed by signal 9; it is started again") == 3


def test_a_reload_loses_nothing_and_reaches_every_worker(live):
    asked = len(live.api.requests)
    with clients() as report:
        for _ in range(5):
            live.reload()
    none_lost(report)
    # Nothing that they changed concerns the API server
    assert len(live.api.requests) == asked


def test_a_reload_finds_a_worker_that_is_about_to_start(live):
    """Which then has nothing of the old configuration to answer from, and nothing yet of the new one."""
    with clients() as report:
        for options in (("labels !nosuch",), ("pods verified",), ("namespaces default",), ("labels !other",), ()):
            kill(live.server.workers()[0])
            live.reload(*options)
            workers = live.server.workers()
            # One that nothing happens to is taken as well, and by the same processes
            live.reload(*options)
            assert live.server.workers() == workers
    assert report.sent == report.answered + report.lost
    assert report.lost <= 5
    assert report.wrong_replies == []
    assert "Traceback" not in live.server.output()


def test_a_change_of_the_corefile_is_found_and_a_mistake_in_it_named(live):
    with clients() as report:
        expected = live.write()
        assert eventually(lambda: live.answers_with(expected)), live.server.output()
        live.place.write(".:1053 {\n    bind 127.0.0.1\n    nosuch\n}\n")
        where = f"[ERROR] reload: {live.place.corefile}:3:5: unknown directive"
        assert eventually(lambda: where in live.server.output()), live.server.output()
        assert live.answers_with(expected)
        mended = live.write()
        assert eventually(lambda: live.answers_with(mended)), live.server.output()
    none_lost(report)
    assert live.server.output().count(where) == 1

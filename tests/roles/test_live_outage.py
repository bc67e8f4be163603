"""The API server goes away for a while, and a worker stops: both are told, and neither changes an answer."""

import os
import re
import signal

from tests.roles.live import (
    HEALTH,
    READY,
    Block,
    addresses,
    api_server,
    ask,
    clients,
    everybody_says,
    none_lost,
    page,
    rcode,
    service,
)
from tests.support.apiserver_faults import Fault
from tests.support.process import eventually, runs

# Seconds: between two bookmarks, and an age that only an outage explains
BOOKMARKS, OLD = 0.2, 3
# Seconds until a pause between two attempts is over that began after as long an outage
AGAIN = 20.0
# Seconds without a heartbeat after which health says so and after which the process is ended, and as many again
HUNG, REPLACED = 10.0, 20.0


def ages() -> list[int]:
    """Seconds since each resource was last heard of."""
    return [int(age) for age in re.findall(r"last heard of (\d+) s ago", page(READY, "/ready?verbose")[1])]


def test_an_outage_changes_no_answer_and_all_that_changed_meanwhile_is_caught_up_with(place):
    with api_server(bookmark_interval=BOOKMARKS) as api:
        api.put(service("moves", "10.0.0.5"))
        api.put(service("goes", "10.0.0.6"))
        place.write(Block(f"endpoint {api.url}"))
        with place.serve() as server:
            server.await_workers(2)
            assert eventually(lambda: len(ages()) == 3 and max(ages()) < OLD)
            with clients() as report:
                api.fault(Fault.REFUSED)
                api.put(service("moves", "10.0.0.15"))
                api.delete("Service", "default", "goes")
                api.put(service("comes", "10.0.0.7"))
                assert eventually(lambda: min(ages()) >= OLD)
                assert page(READY, "/ready") == (200, "OK")
                assert page(HEALTH, "/health") == (200, "OK")
                assert [addresses(ask(name)) for name in ("moves", "goes")] == [["10.0.0.5"], ["10.0.0.6"]]
                assert rcode(ask("comes")) == "NXDOMAIN"
                api.clear()
                assert eventually(lambda: addresses(ask("comes")) == ["10.0.0.7"], AGAIN)
                for name, expected in (("moves", "10.0.0.15"), ("comes", "10.0.0.7"), ("goes", "NXDOMAIN")):
                    assert everybody_says(server, name, [expected])
                assert eventually(lambda: max(ages()) < OLD, AGAIN)
    none_lost(report)


def test_a_worker_whose_loop_stopped_is_reported_and_replaced(place, api):
    place.write(Block(f"endpoint {api.url}"))
    with place.serve() as server:
        server.await_workers(2)
        hung, other = server.workers()
        with clients() as report:
            os.kill(hung, signal.SIGSTOP)
            assert page(HEALTH, "/health") == (200, "OK")
            assert eventually(lambda: page(HEALTH, "/health")[0] == 503, HUNG)
            assert re.fullmatch(r"worker \d: its loop has not run for \d+ s", page(HEALTH, "/health")[1])
            # The other one answers for both
            assert page(READY, "/ready") == (200, "OK")
            assert eventually(lambda: not runs(hung), REPLACED)
            server.await_workers(2)
            assert page(HEALTH, "/health") == (200, "OK")
        assert other in server.workers()
    assert report.lost <= 1
    assert report.wrong_replies == []

"""Starts that go wrong: a bad Corefile, an API server that is down or refuses, a signal in the middle."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.processes import tree, with_role
from tests.roles.live import READY, Block, Place, ask, everybody_says, page, rcode, ttl
from tests.support.apiserver_faults import Fault
from tests.support.process import ROOT, START_DEADLINE, STOP_DEADLINE, eventually, runs

# Of no object that there could be: NXDOMAIN at any time
IMPOSSIBLE = "nosuch.cluster.local."
# A start does not wait for the API server for long
IMPATIENT = ("startup_timeout 100ms",)
BROKEN = ".:1053 {\n    nosuch\n    bind 127.0.0.300\n}\n"
MISTAKES = ("Corefile:2:5: unknown directive", "Corefile:3:10: ")


@contextmanager
def starting(place: Place, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Without waiting for anything; what it says is in `place.folder / "log"`."""
    argv = [sys.executable, "-m", "clusterdns", "serve", "-c", str(place.corefile), *arguments]
    with (place.folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log(place: Place) -> str:
    return (place.folder / "log").read_text()


# A bad Corefile


def test_every_mistake_is_named_and_nothing_starts(place):
    place.write(BROKEN)
    with starting(place, "--workers", "2", "--state", str(place.folder)) as process:
        assert process.wait(START_DEADLINE) == 1
    lines = log(place).splitlines()
    assert len(lines) == len(MISTAKES)
    for line, mistake in zip(lines, MISTAKES, strict=True):
        assert line.startswith(f"clusterdns: {place.folder}/{mistake}")


def test_the_last_good_corefile_is_served_until_the_present_one_is_mended(place, api):
    good = Block(f"endpoint {api.url}")
    arguments = ("--workers", "2", "--state", str(place.folder))
    place.write(good)
    with place.serve(*arguments):
        pass
    place.write(BROKEN)
    with place.serve(*arguments) as server:
        said = f"[ERROR] started with the last good Corefile, kept in {place.folder}"
        assert eventually(lambda: said in server.output())
        for mistake in MISTAKES:
            assert f"{place.folder}/{mistake}" in server.output()
        place.write(Block(good.source, ttl=40))
        server.signal(signal.SIGHUP)
        assert eventually(lambda: ttl(ask("web")) == 40)


# The API server


def unready() -> list[str]:
    """What is missing, below the names of the directives."""
    return page(READY, "/ready")[1].splitlines()


def test_without_an_api_server_nothing_is_denied_that_could_exist(place, api):
    api.fault(Fault.REFUSED)
    place.write(Block(f"endpoint {api.url}", options=IMPATIENT))
    with place.serve(probe=IMPOSSIBLE) as server:
        server.await_workers(2)
        for name, rdtype in (
            ("web", "A"),
            ("1.0.0.10.in-addr.arpa.", "PTR"),
            ("nosuch.nosuch.svc.cluster.local.", "A"),
        ):
            assert everybody_says(server, name, ["SERVFAIL"], rdtype)
        assert everybody_says(server, IMPOSSIBLE, ["NXDOMAIN"])
        resources = ("namespaces", "services", "endpointslices")
        missing = ["kubernetes", *(f"kubernetes: {name}: [Errno 111] Connection refused" for name in resources)]
        # Each was asked for once
        assert eventually(lambda: unready() == missing), unready()
        assert page(READY, "/ready")[0] == 503
        api.clear()
        assert eventually(lambda: page(READY, "/ready") == (200, "OK"), START_DEADLINE)
        assert everybody_says(server, "web", ["10.0.0.1"])


def test_a_permission_that_is_missing_is_named(place, api):
    api.fault(Fault.FORBIDDEN, "services")
    place.write(Block(f"endpoint {api.url}", options=IMPATIENT))
    with place.serve(probe=IMPOSSIBLE) as server:
        assert eventually(lambda: "cannot watch services: 403 Forbidden" in server.output())
        # The other two are there in the meantime
        assert eventually(lambda: len(unready()) == 2), unready()
        assert unready()[1].startswith("kubernetes: services: 403 Forbidden: ")
        assert rcode(ask("web")) == "SERVFAIL"
        api.clear()
        assert eventually(lambda: page(READY, "/ready") == (200, "OK"), START_DEADLINE)


# A signal

MOMENTS: dict[str, Callable[[int], object]] = {
    "the first": lambda pid: _catches(pid, signal.SIGTERM),
    "with a controller": lambda pid: with_role(pid, "controller"),
    "with workers": lambda pid: with_role(pid, "worker"),
}


def _catches(pid: int, number: signal.Signals) -> bool:
    """proc(5), SigCgt: a bit for each signal from 1 on."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_a_start_at_any_moment(place, api, moment):
    """It waits for an API server that is down."""
    api.fault(Fault.REFUSED)
    place.write(Block(f"endpoint {api.url}", options=("startup_timeout 60s",)))
    with starting(place, "--workers", "2") as process:
        assert eventually(lambda: MOMENTS[moment](process.pid))
        pids = tree(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_DEADLINE) == 0
        assert eventually(lambda: not any(map(runs, pids)))
    assert "Traceback" not in log(place)

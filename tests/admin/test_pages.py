"""What a request is told, without any socket."""

import pytest

from clusterdns.admin.pages import Readiness, Reply, answer, by_address, health
from clusterdns.plugins.site import Process
from tests.admin.state import State

SERVICES = "kubernetes: Services are not listed yet"
SLICES = "kubernetes: EndpointSlices are not listed yet"
FILES = "hosts: /etc/hosts is not read yet"
BOTH = {"/health": health, "/ready": Readiness(False)}


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        (State(), 200, "OK"),
        (State(missing=[SERVICES]), 200, "OK"),
        (State(loops=["worker 1: silent for 12 s"]), 503, "worker 1: silent for 12 s"),
        (State(loops=["worker 1: silent", "controller: gone"]), 503, "worker 1: silent\ncontroller: gone\n"),
        # Who drains must not be killed
        (State(loops=["worker 1: gone"], ending=True), 200, "OK"),
    ],
)
def test_health(state, status, text):
    reply = health(state)
    assert (reply.status, reply.text) == (status, text)


@pytest.mark.parametrize("continuously", [False, True])
@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        (State(), 200, "OK"),
        (State(loops=["worker 1: gone"]), 200, "OK"),
        (State(missing=[SERVICES]), 503, f"kubernetes\n{SERVICES}\n"),
        (State(missing=[SERVICES, SLICES]), 503, f"kubernetes\n{SERVICES}\n{SLICES}\n"),
        (State(missing=[SERVICES, FILES]), 503, f"hosts,kubernetes\n{SERVICES}\n{FILES}\n"),
        (State(ending=True), 503, "shutting down"),
    ],
)
def test_ready(state, status, text, continuously):
    reply = Readiness(continuously)(state)
    assert (reply.status, reply.text) == (status, text)


def statuses(page, state, *missing):
    """The status while each of these is missing, one after the other."""
    found = []
    for state.missing in missing:
        found.append(page(state).status)
    return found


def test_until_ready_is_for_good():
    state = State()
    assert statuses(Readiness(False), state, [SERVICES], [], [SERVICES]) == [503, 200, 200]
    # Nobody is asked in vain
    assert state.asked == 2


def test_continuously_asks_each_time():
    state = State()
    assert statuses(Readiness(True), state, [SERVICES], [], [SERVICES], []) == [503, 200, 503, 200]
    assert state.asked == 4


@pytest.mark.parametrize("continuously", [False, True])
def test_the_end_is_never_ready(continuously):
    state, page = State(), Readiness(continuously)
    assert page(state).status == 200
    state.ending = True
    assert page(state).status == 503


@pytest.mark.parametrize(
    ("state", "path", "text"),
    [
        (State(lines=["a", "b"]), "/health", "OK\na\nb\n"),
        (State(lines=["a"]), "/ready", "OK\na\n"),
        (State(missing=[SERVICES], lines=["a"]), "/ready", f"kubernetes\n{SERVICES}\na\n"),
        (State(lines=[]), "/health", "OK"),
    ],
)
def test_verbose_appends_the_report(state, path, text):
    assert answer({"/health": health, "/ready": Readiness(True)}, "GET", path, True, state).text == text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/ready", 200),
        ("POST", "/health", 405),
        ("OPTIONS", "/ready", 405),
        ("GET", "/", 404),
        ("GET", "/health/", 404),
        ("GET", "/readyz", 404),
        ("POST", "/metrics", 404),
    ],
)
def test_paths_and_methods(method, path, status):
    assert answer(BOTH, method, path, False, State(lines=["secret"])).status == status


def test_what_is_not_there_has_no_report():
    assert answer(BOTH, "GET", "/", True, State(lines=["secret"])) == Reply(
        404, ("there is only /health and /ready here",)
    )


def test_each_address_has_its_pages():
    one, two, three = ("", 8080), ("", 8181), ("127.0.0.1", 9000)
    found = by_address(Process(health={one: 0.0, three: 5.0}, ready={two: False, three: True}))
    assert {where: set(each) for where, each in found.items()} == {
        one: {"/health"},
        two: {"/ready"},
        three: {"/health", "/ready"},
    }
    state = State()
    assert statuses(found[two]["/ready"], state, [], [SERVICES]) == [200, 200]
    assert statuses(found[three]["/ready"], state, [], [SERVICES]) == [200, 503]

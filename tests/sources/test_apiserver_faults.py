"""Every way in which the fake API server fails, and what is expected then of the source."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.timing import Timing
from tests.sources.apiserver_followed import NAMESPACE, QUICK, Followed, running, service, watching
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_faults import STAGES, Fault, Stage, Verb
from tests.support.apiserver_status import RETRY_AFTER

OBJECTS = [NAMESPACE, service("web")]
# Nothing but the watch
WATCHING = replace(QUICK, audit=3600.0)
# Silence is noticed soon (seconds)
IMPATIENT = replace(WATCHING, silence=0.5, page=0.5)

Expectation = Callable[[FakeAPIServer, Followed], None]


def change(api: FakeAPIServer) -> None:
    """Three changes, two of them of one object."""
    api.put(service("web", "10.0.0.5"))
    api.put(service("web", "10.0.0.9"))
    api.put(service("new", "10.0.0.8"))


def fresh(following: Followed) -> bool:
    return (following.address("web"), following.address("new")) == ("10.0.0.9", "10.0.0.8")


# The expectations: each is given the server with the fault in force, and a source that was synced before


def is_said(words: str) -> Expectation:
    """No request succeeds: objects stay, a line names verb, resource and answer, and is taken back in the end."""

    def expected(api: FakeAPIServer, following: Followed) -> None:
        line = "kubernetes API: cannot watch services: "
        api.end_watches("services")
        api.put(service("later"))
        following.until(lambda: any(text.startswith(line) and words in text for text in following.complaints))
        assert following.address("web") == "10.0.0.1"
        assert following.store.synced
        api.clear()
        change(api)
        following.until(lambda: fresh(following))
        following.until(lambda: "kubernetes API: services: is good again" in following.complaints)

    return expected


def is_resumed(words: str) -> Expectation:
    """A watch ends over it, a line says so, and what it did not tell comes with the next one."""

    def expected(api: FakeAPIServer, following: Followed) -> None:
        change(api)
        following.until(lambda: fresh(following))
        assert any(words in text for text in following.complaints)

    return expected


def is_no_failure(api: FakeAPIServer, following: Followed) -> None:
    """Whether it is listed again or waited for: not a word, and the newest state."""
    api.end_watches("services")
    change(api)
    following.until(lambda: fresh(following))
    assert following.complaints == []


def is_told(changes: int) -> Expectation:
    """The newest state of each object stays, and so many changes are told: nothing twice, nothing that is older."""

    def expected(api: FakeAPIServer, following: Followed) -> None:
        before = len(following.batches)
        change(api)
        following.until(lambda: fresh(following))
        assert len([each for batch in following.batches[before:] for each in batch]) == changes
        assert following.complaints == []

    return expected


def is_repaired(api: FakeAPIServer, following: Followed) -> None:
    """Nobody knows until the next look for losses."""
    api.put(service("web", "10.0.0.9"))
    api.clear()
    api.put(service("new", "10.0.0.8"))
    following.until(lambda: following.address("new"))
    assert following.address("web") == "10.0.0.1"
    api.end_watches("services")
    following.until(lambda: fresh(following))
    assert following.source.repaired["services"] == 1


@dataclass(frozen=True)
class Case:
    """`times`: how many requests, lines or changes it strikes; None: until it is cleared."""

    expected: Expectation
    times: int | None = None
    timing: Timing = WATCHING


EXPECTED = {
    # Both the look for losses and the watch
    Fault.GONE: Case(is_no_failure, times=2, timing=QUICK),
    Fault.TOO_MANY_REQUESTS: Case(is_said("429 Too Many Requests: Too many requests, please try again later.")),
    Fault.INTERNAL_ERROR: Case(is_said("500 Internal Server Error: Internal error occurred")),
    Fault.UNAVAILABLE: Case(is_said("503 Service Unavailable: apiserver is shutting down")),
    Fault.FORBIDDEN: Case(is_said('cannot watch resource "services" in API group ""')),
    Fault.EMPTY_BODY: Case(is_said("each answer ends at once")),
    Fault.SILENT: Case(is_said("timed out"), timing=IMPATIENT),
    Fault.SLOW_FIRST_BYTE: Case(is_no_failure, times=1),
    Fault.CUT: Case(is_resumed("kubernetes API: cannot watch services: "), times=1),
    Fault.STALLED: Case(is_resumed("kubernetes API: cannot watch services: timed out"), times=1, timing=IMPATIENT),
    Fault.INVALID_JSON: Case(is_resumed("cannot watch services: the answer is not understood"), times=1),
    Fault.EXPIRED_EVENT: Case(is_no_failure, times=1),
    Fault.DUPLICATED: Case(is_told(3), times=3),
    Fault.OUT_OF_ORDER: Case(is_told(2), times=1),
    Fault.DROPPED: Case(is_repaired, timing=QUICK),
    Fault.REFUSED: Case(is_said("Connection refused")),
}
FAULTS = pytest.mark.parametrize("fault", list(EXPECTED), ids=lambda fault: fault.name.lower())
FORMS = pytest.mark.parametrize("streaming_list", [True, False], ids=["streaming", "pages"])


def strike(api: FakeAPIServer, fault: Fault, times: int | None) -> None:
    if fault is Fault.REFUSED:
        api.fault(fault)
    else:
        api.fault(fault, "services", times=times)


def test_every_fault_has_an_expectation():
    assert set(EXPECTED) == set(Fault)


@FORMS
@FAULTS
def test_a_fault(fault, streaming_list):
    case = EXPECTED[fault]
    with (
        FakeAPIServer(OBJECTS, streaming_list=streaming_list) as api,
        watching(api, timing=case.timing) as following,
    ):
        strike(api, fault, case.times)
        case.expected(api, following)


@FORMS
@pytest.mark.parametrize("fault", [each for each in Fault if STAGES[each] is not Stage.CHANGE])
def test_a_fault_at_the_start_is_tried_again_until_everything_is_there(fault, streaming_list):
    with FakeAPIServer(OBJECTS, streaming_list=streaming_list) as api:
        strike(api, fault, 3)
        following = Followed(SourceSpec(endpoint=api.url), timing=EXPECTED[fault].timing)
        with running(following):
            if fault is Fault.REFUSED:
                following.until(lambda: len(following.complaints) == 3)
                assert all(text.endswith("Connection refused") for text in following.source.missing())
                api.clear()
            following.until(following.synced)
            change(api)
            following.until(lambda: fresh(following))


def test_no_permission_for_one_resource_is_named_with_what_to_do_and_held_against_readiness():
    with FakeAPIServer(OBJECTS) as api:
        api.fault(Fault.FORBIDDEN, "endpointslices")
        with running(Followed(SourceSpec(endpoint=api.url))) as following:
            # The streaming list is a watch; after it the list is tried
            following.until(lambda: len(following.complaints) == 2 and len(following.batches) == 2)
            for line, verb in zip(following.complaints, ("watch", "list"), strict=True):
                assert line.startswith(f"kubernetes API: cannot {verb} endpointslices: 403 Forbidden: ")
                assert f'cannot {verb} resource "endpointslices" in API group "discovery.k8s.io"' in line
                assert line.endswith(
                    "; allow it: a ClusterRole with the verbs list and watch on endpointslices of the API group "
                    '"discovery.k8s.io", and its binding'
                )
            assert following.source.missing()[0].startswith("endpointslices: 403 Forbidden: ")
            assert len(following.source.missing()) == 1
            asked = len(api.requests)
            api.wait(lambda: len(api.requests) > asked + 3)
            assert not following.store.synced
            # Once each
            assert len(following.complaints) == 2
            api.clear()
            following.until(following.synced)
            assert following.source.missing() == []


def test_a_permission_to_list_alone_serves_the_list_and_says_so():
    with FakeAPIServer(OBJECTS) as api:
        api.fault(Fault.FORBIDDEN, "services", verb=Verb.WATCH)
        with running(Followed(SourceSpec(endpoint=api.url))) as following:
            following.until(following.synced)
            assert following.address("web")
            assert following.complaints[0].startswith("kubernetes API: cannot watch services: 403 Forbidden: ")


def test_where_no_watch_can_be_understood_lists_bring_the_changes():
    with FakeAPIServer(OBJECTS, streaming_list=False) as api, watching(api, timing=WATCHING) as following:
        api.fault(Fault.INVALID_JSON, "services", verb=Verb.WATCH)
        for number in range(5):
            api.put(service(f"s{number}"))
            following.until(lambda number=number: following.address(f"s{number}"))


def test_a_server_that_says_when_to_come_back_is_not_asked_before():
    with FakeAPIServer(OBJECTS) as api:
        api.fault(Fault.TOO_MANY_REQUESTS, "services", times=1)
        with running(Followed(SourceSpec(endpoint=api.url), timing=replace(QUICK, longest_pause=10.0))) as following:
            following.until(following.synced)
        first, second, *_ = [each.time for each in api.requests if each.resource == "services"]
        assert second - first >= RETRY_AFTER


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hurry():
    hour = Timing(first_pause=3600.0, longest_pause=7200.0)
    with FakeAPIServer(OBJECTS) as api, watching(api, timing=hour) as following:
        asked = len(api.requests)
        api.end_watches()
        api.wait(lambda: api.watchers() == [])
        assert len(api.requests) == asked
        assert following.address("web")


def test_a_data_base_restored_from_a_backup_is_listed_again():
    """The versions of the server lie behind ours: it has no state of our version, and never will."""
    with FakeAPIServer(OBJECTS) as api, watching(api) as following:
        api.bookmark("services", api.revision + 1_000_000)
        api.end_watches("services")
        following.until(lambda: any("Too large resource version" in text for text in following.complaints))
        change(api)
        following.until(lambda: fresh(following))

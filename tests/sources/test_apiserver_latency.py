"""Programming latency, and the ages of the watches, with clocks of the test's own."""

from datetime import UTC, datetime

import pytest

from clusterdns.sources.latency import BOUNDS, SERVICE_KINDS, TRIGGER, Histogram, unix_seconds
from clusterdns.sources.timing import Clock
from tests.sources.apiserver_followed import NAMESPACE, endpoint_slice, service, watching
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_faults import Fault

NOW = 1_800_000_000.0
DAY = 86_400.0


def at(seconds: float) -> dict[str, str]:
    return {TRIGGER: datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")}


class Warped:
    """Both clocks go only where the test moves them."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.clock = Clock(lambda: NOW + self.passed, lambda: 1000.0 + self.passed)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000.0),
        ("2027-01-15T08:00:00.25Z", 1_800_000_000.25),
        # As the controller writes it: nanoseconds
        ("2027-01-15T09:00:00.250000001+01:00", 1_800_000_000.25),
        ("2027-01-15T08:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_trigger_times(text, seconds):
    assert unix_seconds(text) == seconds


def test_buckets_are_those_of_coredns():
    assert len(BOUNDS) == 20
    assert (BOUNDS[0], BOUNDS[1], BOUNDS[-1]) == (0.001, 0.002, 524.288)
    histogram = Histogram()
    for seconds in (-5.0, 0.0, 0.001, 0.0011, 524.288, 600.0):
        histogram.observe(seconds)
    assert [index for index, count in enumerate(histogram.counts) for _ in range(count)] == [0, 0, 0, 1, 19, 20]
    assert histogram.total == pytest.approx(0.001 + 0.0011 + 524.288 + 600.0)


def test_changes_that_a_watch_tells_are_measured_by_the_kind_of_their_service():
    warped = Warped()
    listed = endpoint_slice("listed", **at(NOW - 100.0))
    objects = [NAMESPACE, service("web"), service("db", "None"), listed]
    with FakeAPIServer(objects) as api, watching(api, clock=warped.clock) as following:
        latency = following.source.latency
        assert set(latency) == set(SERVICE_KINDS)
        warped.passed = 0.5
        api.put(endpoint_slice("web-1", "10.1.0.1", "web", **at(NOW)))
        api.put(endpoint_slice("db-1", "10.1.0.2", "db", **at(NOW - 1.5)))
        # Of a Service that nobody knows, without a time, and with one that is none
        api.put(endpoint_slice("unknown-1", "10.1.0.3", "unknown", **at(NOW)))
        api.put(endpoint_slice("web-2", "10.1.0.4", "web"))
        api.put(endpoint_slice("web-3", "10.1.0.5", "web", **{TRIGGER: "yesterday"}))
        api.delete("EndpointSlice", "default", "web-1")
        api.put(endpoint_slice("last", "10.1.0.6", "db"))
        following.until(lambda: b"e/default/last" in following.packed)
        assert {kind: sum(each.counts) for kind, each in latency.items()} == {
            "cluster_ip": 1,
            "headless_with_selector": 1,
            "headless_without_selector": 0,
        }
        assert (latency["cluster_ip"].total, latency["headless_with_selector"].total) == (0.5, 2.0)


def test_a_service_that_changes_its_kind_counts_as_what_it_is():
    warped = Warped()
    with FakeAPIServer([NAMESPACE, service("web", "None")]) as api, watching(api, clock=warped.clock) as following:
        api.put(service("web", "10.0.0.1"))
        following.until(lambda: following.address("web") == "10.0.0.1")
        api.put(endpoint_slice("web-1", **at(NOW)))
        following.until(lambda: b"e/default/web-1" in following.packed)
        assert sum(following.source.latency["cluster_ip"].counts) == 1


def test_a_day_without_the_api_server_changes_nothing_and_is_caught_up_with():
    warped = Warped()
    with FakeAPIServer([NAMESPACE, service("web")]) as api, watching(api, clock=warped.clock) as following:
        ages = following.source.ages(warped.clock.monotonic())
        assert ages == {"namespaces": 0.0, "services": 0.0, "endpointslices": 0.0}
        told, objects = len(following.batches), dict(following.packed)
        api.fault(Fault.REFUSED)
        following.until(lambda: len(following.complaints) == 3)
        warped.passed = DAY
        assert following.source.ages(warped.clock.monotonic()) == dict.fromkeys(ages, DAY)
        # What happens in the meantime, and that nobody remembers where we were
        api.put(service("web", "10.0.0.9"))
        api.expire()
        assert (len(following.batches), following.packed) == (told, objects)
        assert following.store.synced
        assert following.source.missing() == []
        api.clear()
        following.until(lambda: following.address("web") == "10.0.0.9")
        following.until(lambda: sum(text.endswith(": is good again") for text in following.complaints) == 3)
        assert following.source.ages(warped.clock.monotonic()) == dict.fromkeys(ages, 0.0)

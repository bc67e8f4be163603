"""apiserver_qps, apiserver_burst and apiserver_max_inflight: the pure part with made-up clocks, then on a server."""

import threading

import pytest

from clusterdns.kube.objects import Kind
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.pacing import DEFAULT_BURST, Bucket, Gate
from tests.sources.apiserver_followed import KINDS, NAMESPACE, Followed, running, service
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_faults import Verb


def test_a_burst_goes_at_once_and_then_one_after_the_other():
    bucket = Bucket(2.0, 3)
    assert [bucket.take(100.0) for _ in range(6)] == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_tokens_come_back_with_time_up_to_the_burst():
    bucket = Bucket(2.0, 3)
    for _ in range(3):
        bucket.take(100.0)
    assert [bucket.take(100.5), bucket.take(100.5)] == [0.0, 0.5]
    assert [bucket.take(1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_clock_that_goes_back_gives_nothing_away():
    bucket = Bucket(1.0, 1)
    assert [bucket.take(now) for now in (100.0, 50.0, 100.0)] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("rate", [0.5, 5.0, 1000.0])
def test_the_rate_is_kept_whatever_the_pattern(rate):
    bucket = Bucket(rate, 4)
    now, gone = 100.0, []
    for step in range(200):
        now += (step % 7) / 10 / rate
        gone.append(now + bucket.take(now))
    for first, last in zip(gone, gone[20:], strict=False):
        assert last - first >= (20 - 4) / rate - 1e-9


def test_a_request_in_flight_keeps_its_place_and_closing_ends_all_waiting():
    gate = Gate(qps=0.001, burst=1, inflight=1)
    begun, done = threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        with gate.request():
            done.set()

    thread = threading.Thread(target=second)
    with gate.request():
        thread.start()
        assert begun.wait(10)
        assert not done.is_set()
    # Its turn by rate would be in a quarter of an hour
    gate.close()
    thread.join(10)
    assert done.is_set()


def test_no_limit_is_none():
    gate = Gate()
    with gate.request(), gate.request():
        assert DEFAULT_BURST > 0


def test_lists_and_watches_of_all_threads_share_the_limits():
    with FakeAPIServer([NAMESPACE, *(service(f"s{n}") for n in range(1100))], streaming_list=False) as api:
        spec = SourceSpec(endpoint=api.url, qps=20.0, burst=1, inflight=1)
        with running(Followed(spec, (*KINDS, Kind.POD))) as following:
            following.until(following.synced)
        times = [each.time for each in api.requests]
        assert len(times) > 8
        # A watch holds no place in flight, and each request waits its 50 ms; half of it is left to the machine's noise
        assert times[-1] - times[0] >= (len(times) - 1) / 20.0 / 2
        assert {each.verb for each in api.requests} == {Verb.LIST, Verb.WATCH}

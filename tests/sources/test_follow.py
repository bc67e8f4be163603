"""The loop: scan, apply, report, and again."""

import asyncio

import pytest

from clusterdns.kube.objects import Synced
from clusterdns.sources.manifests import follow
from tests.sources.objects import documents, service


async def _collect(directory, steps):
    """Follow the directory, writing the next of `steps` whenever there is news. Returns all applied and reported."""
    applied, reported = [], []
    todo, done = iter(steps), asyncio.Event()

    def proceed():
        try:
            directory.write("a.yaml", next(todo))
        except StopIteration:
            done.set()

    def apply(events):
        applied.append(events)
        proceed()

    def report(complaint):
        reported.append(complaint)
        proceed()

    task = asyncio.create_task(follow(directory.manifests, apply, report, interval=0.001))
    await asyncio.wait_for(done.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return applied, reported


def test_each_change_is_applied_as_a_whole_and_each_complaint_reported(directory):
    steps = [documents(service("web"), service("api", "10.0.0.2")), "not: [valid", documents(service("web"))]
    applied, reported = asyncio.run(_collect(directory, steps))
    assert [len(events) for events in applied] == [2, 2, 1]
    assert [Synced() in events for events in applied] == [True, False, False]
    assert [line.removeprefix(f"{directory.path}/").partition(": ")[0] for line in reported] == ["a.yaml:2:1", "a.yaml"]

"""All objects of one source: what it says, in any order and in any batches, and who is told of it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.kube.packed import SYNCED, Packed
from clusterdns.sources.table import State, Table

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
CHANGES = st.builds(Packed, KEYS, st.sampled_from([b"", b"", b"1", b"2"]))
BATCHES = st.lists(st.lists(CHANGES, max_size=6), max_size=8)
SNAPSHOTS = st.none() | st.dictionaries(KEYS, st.sampled_from([b"1", b"2"]))
TIMES = st.lists(st.integers(0, 100), min_size=8, max_size=8)


class Mirror:
    """Follows a table by what its watchers are told alone, and notes each call."""

    def __init__(self, table: Table) -> None:
        self._table, self.objects = table, dict[bytes, bytes]()
        self.calls: list[tuple[list[bytes], bool]] = []
        table.watchers.append(self.told)

    def told(self, keys: Sequence[bytes], whole: bool) -> None:
        self.calls.append((list(keys), whole))
        now = self._table.objects
        if whole:
            self.objects = dict(now)
        self.objects = {key: now[key] for key in {*self.objects, *keys} if key in now}


@settings(max_examples=400, deadline=None)
@given(SNAPSHOTS, BATCHES, st.integers(0, 8), BATCHES)
def test_in_the_end_there_is_what_the_source_said(snapshot, first, settled, then):
    """`first`: what is said before it was everything."""
    table, real = Table(), dict[bytes, bytes]()
    mirror = Mirror(table)
    if snapshot is not None:
        table.restore([Packed(*each) for each in snapshot.items()], 5)
        assert (table.state, table.serial, mirror.calls) == (State.RESTORED, 5, [([], True)])
        assert mirror.objects == snapshot
    for at, batch in enumerate(first):
        if at == settled:
            table.settle()
        table.apply(batch, 1)
        real.update(batch)
        said = {key: content for key, content in real.items() if content}
        assert table.objects == {key: content for key, content in ((snapshot or {}) | real).items() if content}
        assert mirror.objects == (table.objects if table.state is not State.EMPTY else {})
    table.apply([SYNCED], 1)
    for batch in then:
        table.apply(batch, 1)
        real.update(batch)
    said = {key: content for key, content in real.items() if content}
    assert table.objects == mirror.objects == said
    assert table.state is State.SYNCED


@settings(max_examples=300, deadline=None)
@given(SNAPSHOTS, BATCHES, TIMES, st.integers(0, 7))
def test_the_serial_grows_with_every_batch_that_changes_something(snapshot, batches, times, complete):
    """max(last + 1, unix seconds)."""
    table = Table()
    if snapshot is not None:
        table.restore([Packed(*each) for each in snapshot.items()], 50)
    for at, (batch, now) in enumerate(zip(batches, times, strict=False)):
        before, serial = dict(table.objects), table.serial
        table.apply([*batch, *([SYNCED] if at == complete else [])], now)
        if table.objects != before:
            assert table.serial == max(serial + 1, now)
        else:
            assert table.serial in (serial, max(serial + 1, now))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, st.just(b"1")), st.lists(CHANGES, max_size=6))
def test_only_what_changed_is_told(objects, batch):
    table = Table()
    table.apply([*map(Packed, objects, objects.values()), SYNCED], 1)
    mirror, serial = Mirror(table), table.serial
    before = dict(table.objects)
    table.apply(batch, 1)
    changed = {key for key in {*before, *table.objects} if before.get(key) != table.objects.get(key)}
    told = {key for keys, _ in mirror.calls for key in keys}
    assert changed <= told <= {key for key, _ in batch}
    assert [whole for _, whole in mirror.calls] == [False] * bool(told)
    assert table.serial == serial + bool(told)
    # The same once more changes nothing
    table.apply([Packed(key, table.objects.get(key, b"")) for key, _ in batch], 1)
    assert (len(mirror.calls), table.serial) == (bool(told), serial + bool(told))


def test_before_anything_is_whole_nobody_is_told():
    table = Table()
    mirror = Mirror(table)
    table.apply([Packed(b"a", b"1")], 1)
    assert (mirror.calls, table.state) == ([], State.EMPTY)
    table.settle()
    assert (mirror.calls, table.state) == ([([], True)], State.PARTIAL)
    table.apply([Packed(b"b", b"1")], 1)
    assert mirror.calls[1:] == [([b"b"], False)]
    table.apply([SYNCED], 1)
    assert mirror.calls[2:] == [([], True)]


@pytest.mark.parametrize("state", [State.RESTORED, State.SYNCED])
def test_what_is_known_as_a_whole_is_not_settled_for_less(state):
    table = Table()
    if state is State.SYNCED:
        table.apply([SYNCED], 1)
    else:
        table.restore([], 1)
    mirror = Mirror(table)
    table.settle()
    assert (table.state, mirror.calls) == (state, [])


def test_everything_is_said_once():
    """A source that says so again is not told of again."""
    table = Table()
    table.apply([Packed(b"a", b"1"), SYNCED], 1)
    mirror, serial = Mirror(table), table.serial
    table.apply([SYNCED], 9)
    table.apply([Packed(b"a", b"1"), SYNCED], 9)
    assert (mirror.calls, table.serial) == ([], serial)
    table.apply([Packed(b"a", b"2"), SYNCED], 9)
    assert (mirror.calls, table.serial) == ([([b"a"], False)], 9)


def test_what_only_the_snapshot_knew_is_gone_when_everything_was_said():
    table = Table()
    table.restore([Packed(b"a", b"1"), Packed(b"b", b"1"), Packed(b"c", b"1")], 5)
    table.apply([Packed(b"a", b"1"), Packed(b"c", b"2")], 1)
    assert table.objects == {b"a": b"1", b"b": b"1", b"c": b"2"}
    mirror = Mirror(table)
    table.apply([SYNCED], 1)
    assert (table.objects, mirror.calls) == ({b"a": b"1", b"c": b"2"}, [([b"b"], True)])
    assert table.serial == 7


def test_a_watcher_may_go_while_it_is_told():
    table = Table()
    calls: list[str] = []

    def once(*_: object) -> None:
        calls.append("once")
        table.watchers.remove(once)

    table.watchers += [once, lambda *_: calls.append("always")]
    table.apply([SYNCED], 1)
    table.apply([Packed(b"a", b"1")], 1)
    assert calls == ["once", "always", "always"]

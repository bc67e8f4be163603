"""Memory that processes share and that outlives them."""

import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from clusterdns.roles.slots import CONTROLLER, MAX_WORKERS, Phase, Slots
from clusterdns.stats import Cells, Labels

A = Labels(b"\x04test\0", "udp", 1, 0, False)
AAAA = Labels(b"\x04test\0", "udp", 28, 0, True)

# A worker: it counts, says so, and waits for its end
WORKER = """
import os, sys
from clusterdns.roles.slots import Phase, Slots
from clusterdns.stats import Labels
slot = Slots(int(sys.argv[1]))[int(sys.argv[2])]
slot.begin(os.getpid(), 1000.0)
slot.phase = Phase.SERVING
cells = slot.cells()
for qtype in (1, 28):
    cells.counts[cells.cell(Labels(b"\\x04test\\0", "udp", qtype, 0, qtype == 28))] += qtype
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def slots():
    with closing(_Closing(Slots.create())) as found:
        yield found.slots


class _Closing:
    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def close(self) -> None:
        os.close(self.slots.descriptor)


def count_and_die(slots: Slots, index: int) -> int:
    """A process that counts and is killed; returns its number."""
    argv = [sys.executable, "-c", WORKER, str(slots.descriptor), str(index)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, pass_fds=(slots.descriptor,), **pipes) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"counted\n"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    return worker.pid


def test_counts_survive_who_counted(slots):
    """The next one goes on with them, and so does whoever looks."""
    for lives in (1, 2):
        pid = count_and_die(slots, 2)
        slot = slots[2]
        assert (slot.pid, slot.phase, slot.age(1002.5)) == (pid, Phase.SERVING, 2.5)
        cells = slot.cells()
        assert cells.labels == [A, AAAA]
        assert [cells.counts[cells.cell(labels)] for labels in (A, AAAA)] == [lives, 28 * lives]
        assert (slot.total(), cells.total(memo=True)) == (29 * lives, 28 * lives)


def test_two_workers_count_apart(slots):
    for index in (1, MAX_WORKERS):
        count_and_die(slots, index)
    assert {index: slot.total() for index, slot in slots.used().items()} == {1: 29, MAX_WORKERS: 29}
    assert all(slots[index].total() == 0 for index in (CONTROLLER, 2, MAX_WORKERS - 1))


def test_the_largest_slot_does_not_run_into_the_next(slots):
    full = slots[1].cells()
    for number in range(Cells.LIMIT + 1):
        full.counts[full.cell(Labels(bytes(200), "udp", number, 0, False))] += 1
    slots[1].begin(1, 1.0)
    assert (slots[2].pid, slots[2].phase, slots[2].total(), slots[2].cells().labels) == (0, Phase.UNUSED, 0, [])
    assert (slots[0].pid, slots[0].total()) == (0, 0)
    assert slots[1].total() == Cells.LIMIT + 1


def test_phases(slots):
    slot = slots[1]
    assert (slot.phase, slots.used()) == (Phase.UNUSED, {})
    slot.begin(7, 10.0)
    assert (slot.phase, slot.pid, slot.age(10.25)) == (Phase.STARTING, 7, 0.25)
    slot.beat(10.25)
    assert slot.age(10.25) == 0.0
    slot.phase = Phase.SERVING
    assert {index: used.phase for index, used in slots.used().items()} == {1: Phase.SERVING}
    slot.phase = Phase.UNUSED
    assert slots.used() == {}


def test_the_descriptor_is_for_children(slots):
    assert os.get_inheritable(slots.descriptor)
    # Whoever has it sees the same
    Slots(slots.descriptor)[3].begin(9, 1.0)
    assert slots[3].pid == 9

"""Memory that all processes share and that outlives each of them: heartbeats, phases and counts.

One slot for each process, written by it alone. The supervisor makes the memory; everybody maps it.
"""

import mmap
import os
from enum import IntEnum

from clusterdns.stats import Cells

# Workers at most; more than the cores of a machine that a name server gets
MAX_WORKERS = 64
# The controller's slot; worker n has slot n
CONTROLLER = 0
# Seconds between two heartbeats, and without one after which a loop counts as stopped and as never coming back: a loop
# of ours is never away for more than some 100 ms, a machine that is out of memory or CPU time may keep it for longer.
BEAT, STALE, HOPELESS = 0.25, 5.0, 10.0
# The same for one that begins, which is slow where CPU time is short
BEGINNING = 60.0

_HEADER = 64
_SIZE = -(-(_HEADER + Cells.SIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
_BEAT, _PHASE, _PID, _WHOLE = 0, 1, 2, 3


class Phase(IntEnum):
    """What a process is about."""

    UNUSED = 0
    STARTING = 1
    SERVING = 2


class Slot:
    """One process's part of the memory."""

    def __init__(self, memory: memoryview) -> None:
        self._header = memory[:_HEADER].cast("Q")
        self._cells = memory[_HEADER : _HEADER + Cells.SIZE]

    def begin(self, pid: int, now: float) -> None:
        self._header[_PID], self._header[_WHOLE] = pid, 0
        self.phase = Phase.STARTING
        self.beat(now)

    def beat(self, now: float) -> None:
        """The loop runs; `now` in monotonic seconds, which all processes of a machine have in common."""
        self._header[_BEAT] = int(now * 1000)

    def age(self, now: float) -> float:
        """Seconds since the last heartbeat."""
        return now - self._header[_BEAT] / 1000

    @property
    def pid(self) -> int:
        return self._header[_PID]

    @property
    def phase(self) -> Phase:
        return Phase(self._header[_PHASE])

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._header[_PHASE] = phase

    @property
    def whole(self) -> bool:
        """Does it serve, and know everything of every source?"""
        return self.phase is Phase.SERVING and bool(self._header[_WHOLE])

    @whole.setter
    def whole(self, whole: bool) -> None:
        self._header[_WHOLE] = whole

    def cells(self) -> Cells:
        """The counts as they are, and to go on with."""
        return Cells(self._cells)

    def total(self) -> int:
        """Replies that were counted, by this process and by those before it."""
        return sum(self._cells[8 : 8 + 8 * Cells.LIMIT].cast("Q"))


class Slots:
    """All of them. Pages that nobody has written to cost nothing."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = memoryview(mmap.mmap(descriptor, _SIZE * (MAX_WORKERS + 1)))

    @classmethod
    def create(cls) -> "Slots":
        """The descriptor is inheritable."""
        descriptor = os.memfd_create("clusterdns-slots", 0)
        os.ftruncate(descriptor, _SIZE * (MAX_WORKERS + 1))
        return cls(descriptor)

    def __getitem__(self, index: int) -> Slot:
        return Slot(self._memory[_SIZE * index : _SIZE * (index + 1)])

    def used(self) -> dict[int, Slot]:
        """Those of processes that there should be, by index."""
        every = {index: self[index] for index in range(MAX_WORKERS + 1)}
        return {index: slot for index, slot in every.items() if slot.phase is not Phase.UNUSED}

"""Who gets the CPU first where several processes want it: answers before changes."""

import ctypes
import os
import platform
import struct
from contextlib import suppress

# struct sched_attr (sched_setattr(2)): size, policy, flags, nice, priority, runtime, deadline, period
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
# The number of sched_setattr by machine; the C library has no function for it everywhere
_NUMBERS = {"x86_64": 314, "aarch64": 274}
_NORMAL = 0
# Nanoseconds, the least that is granted. Since Linux 6.12 a process that wakes up with a shorter slice than the one
# that runs does not wait for the end of that one's, which is 3 ms. A query is answered in a tenth of this.
SLICE = 100_000
# By how much the controller is nicer (nice(2)) than the workers
_NICE = 10


def answer_soon() -> None:
    """For a process that answers. Older kernels ignore it, and refusals do not matter."""
    number = _NUMBERS.get(platform.machine())
    if number is not None:
        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, _NORMAL, 0, os.nice(0), 0, SLICE, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def stand_back() -> None:
    """For the process that gathers: when it wakes up it interrupts nobody (SCHED_BATCH of sched(7))."""
    os.nice(_NICE)
    # A sandbox may refuse; then it is only nice
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

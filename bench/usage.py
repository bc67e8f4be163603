"""How busy the machine was, and with whom: all of them share its CPUs. And how much memory at most."""

import os
import threading
import time
from collections import Counter
from operator import sub
from resource import RUSAGE_CHILDREN, getrusage

from bench.processes import cpu_ns, foreign_share, idle_ns, mappings, pss, role, tree

# Seconds between two looks at the memory: a page of a list is decoded in about as long
_INTERVAL = 0.02


class Busy:
    """CPU time from now on: of a server with all its processes, of the API server, of this process and its clients
    that have ended by then, and of the whole machine."""

    def __init__(self, server: int, api: int) -> None:
        self._server, self._api = server, api
        self._before = self._spent()

    def text(self) -> str:
        """`server 40 + API 12 + clients 30, machine 90 of 200 %`, in percent of one CPU."""
        server, api, clients, idle, passed = map(sub, self._spent(), self._before)
        cpus = os.cpu_count() or 1
        shares = (100 * spent / passed for spent in (server, api, clients, max(passed * cpus - idle, 0)))
        return "server {:.0f} + API {:.0f} + clients {:.0f}, machine {:.0f}".format(*shares) + f" of {100 * cpus} %"

    def _spent(self) -> tuple[int, ...]:
        """Nanoseconds, the last is the clock on the wall."""
        ended = getrusage(RUSAGE_CHILDREN)
        clients = time.process_time_ns() + int((ended.ru_utime + ended.ru_stime) * 1e9)
        return cpu_ns(tree(self._server)), cpu_ns([self._api]), clients, idle_ns(), time.monotonic_ns()


class Memory(threading.Thread):
    """Looks at the proportional set size of a process and all below it, from its making until `end`."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="memory")
        self._pid, self._ended = pid, threading.Event()
        # KiB by role
        self.peak: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        # KiB that are counted as other programs' (see `foreign_share`), at the end
        self.foreign = 0

    def run(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self.last = now = self._look()
            if now.total() > self.peak.total():
                self.peak = now

    def end(self) -> None:
        self._ended.set()
        self.join()
        self.foreign = foreign_share(map(mappings, tree(self._pid)))

    def _look(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for pid in tree(self._pid):
            found[role(pid)] += pss(pid)
        return found

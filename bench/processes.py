"""What /proc says about the processes of a server: who they are, their memory, their CPU time, who listens."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A process that ends while it is looked at
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *(below for child in children(pid) for below in tree(child))]


@contextmanager
def apart(server: int, api: int) -> Iterator[int]:
    """The server, with all its processes, on the last CPU, and the API server and this process, which elsewhere would
    be other machines, on the others. Gives the server's CPU, for clients whose waiting is to be measured; with one CPU
    for all of them everything stays as it is."""
    cpus = os.sched_getaffinity(0)
    last = max(cpus)
    others = cpus - {last} or cpus
    _confine(tree(server), {last})
    _confine([api, os.getpid()], others)
    try:
        yield last
    finally:
        _confine([*tree(server), api, os.getpid()], cpus)


def _confine(pids: Iterable[int], cpus: set[int]) -> None:
    """Every thread."""
    for pid in pids:
        with suppress(*_GONE):
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cpus)


def children(pid: int) -> list[int]:
    """Of every thread of the process."""
    found: list[int] = []
    with suppress(*_GONE):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def role(pid: int) -> str:
    """The subcommand of `python -m clusterdns SUBCOMMAND`; empty for anything else, and for what has ended."""
    with suppress(*_GONE):
        _, separator, rest = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"clusterdns\0")
        return rest.split(b"\0")[0].decode() if separator else ""
    return ""


def with_role(pid: int, wanted: str) -> list[int]:
    """The children in that role."""
    return [child for child in children(pid) if role(child) == wanted]


def pss(pid: int) -> int:
    """Proportional set size in KiB: a page that n processes share counts as 1/n of itself in each."""
    with suppress(*_GONE):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def mappings(pid: int) -> str:
    """/proc/PID/smaps, empty for what has ended."""
    with suppress(*_GONE):
        return Path(f"/proc/{pid}/smaps").read_text()
    return ""


def foreign_share(smaps: Iterable[str]) -> int:
    """KiB of files that processes use and that their PSS leaves to others, who happen to use the same Python.

    Of each mapping (file and offset) the largest of these processes counts once.
    """
    largest: dict[tuple[str, str], int] = {}
    proportional = 0
    for text in smaps:
        for mapping, resident, part in _mapped_files(text):
            largest[mapping] = max(resident, largest.get(mapping, 0))
            proportional += part
    return max(sum(largest.values()) - proportional, 0)


def _mapped_files(smaps: str) -> Iterator[tuple[tuple[str, str], int, int]]:
    """Inode and offset, and KiB of pages that are still the file's: resident, and the proportional part of them."""
    mapping, sizes = ("", ""), dict[str, int]()
    for line in smaps.splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            # Range, then rights, offset, device, inode and path
            mapping = (rest[3], rest[1])
        elif first == "VmFlags:":
            if mapping[0] != "0":
                yield mapping, sizes["Rss:"] - sizes["Anonymous:"], sizes["Pss:"] - sizes["Anonymous:"]
        elif rest[1:] == ["kB"]:
            sizes[first] = int(rest[0])


def cpu_ns(pids: Iterable[int]) -> int:
    """User and system time of all their threads so far, in nanoseconds.

    From the CPU clock of each process, whose number is made as clock_getcpuclockid(3) makes it:
    /proc/PID/stat counts in ticks of 10 ms, /proc/PID/schedstat the main thread alone.
    """
    spent = 0
    for pid in pids:
        with suppress(OSError):
            spent += time.clock_gettime_ns((~pid << 3) | 2)
    return spent


def idle_ns() -> int:
    """How long all CPUs of the machine together had nothing to do (proc(5), /proc/stat: idle and iowait)."""
    fields = Path("/proc/stat").read_text().split("\n")[0].split()
    return (int(fields[4]) + int(fields[5])) * (10**9 // os.sysconf("SC_CLK_TCK"))


def udp_inode(port: int) -> int:
    """The inode of the socket that is bound to this UDP port of 127.0.0.1, 0 for none."""
    wanted = f"0100007F:{port:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return next((int(fields[9]) for fields in map(str.split, lines) if fields[1] == wanted), 0)


def polls(pid: int, inode: int) -> bool:
    """Whether an epoll of the process waits for that file: its event loop serves the socket (proc(5), fdinfo)."""
    wanted = f"ino:{inode:x}"
    with suppress(*_GONE):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[eventpoll]":
                return wanted in Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split()
    return False

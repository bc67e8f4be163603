"""A server process: pinned to a CPU, asked until it answers, its CPU time read, ended."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.processes import cpu_ns, tree

# seconds until the first answer: far more than a start takes on the slowest machine worth measuring on
START_LIMIT = 20.0
# seconds for a graceful end, which measures nothing
STOP_LIMIT = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on 127.0.0.1:`port`."""

    port: int
    process: subprocess.Popen

    def cpu_ns(self) -> int:
        """User and system time so far, of all its processes and their threads."""
        return cpu_ns(tree(self.process.pid))


def server_cpu() -> int:
    """The CPU of whatever is measured: the first of those this process may use."""
    return min(os.sched_getaffinity(0))


def load_cpu() -> int:
    """The CPU of the rest, the same one on a machine that has no other."""
    return max(os.sched_getaffinity(0))


def free_ports(number: int) -> list[int]:
    """That many ports of 127.0.0.1, all different, that nothing is bound to over UDP or TCP."""
    with ExitStack() as stack:
        return [_hold_free_port(stack) for _ in range(number)]


def _hold_free_port(stack: ExitStack) -> int:
    while True:
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stream = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        datagrams.bind(("127.0.0.1", 0))
        with suppress(OSError):
            stream.bind(datagrams.getsockname())
            return datagrams.getsockname()[1]


@contextmanager
def running(command: list[str], port: int, cpu: int, probe: bytes, log: Path, directory: Path) -> Iterator[Server]:
    """Starts the command in the directory on that CPU, waits until the probe gets NOERROR, ends it afterwards.

    Raises BenchError with the last line the process wrote, if it ends before it answers.
    """
    with log.open("wb") as output, pinned(cpu):
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _await_answer(process, port, probe, log)
        yield Server(port, process)
    finally:
        _stop(process)


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Children inherit the affinity of the moment they start, with every thread they make later."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _await_answer(process: subprocess.Popen, port: int, probe: bytes, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not _answers(port, probe):
        if process.poll() is not None:
            raise BenchError(f"the server ended with status {process.returncode}: {last_line(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"no answer from the server in {START_LIMIT:.0f} s: {last_line(log)}")


def _answers(port: int, probe: bytes) -> bool:
    """Whether the probe gets NOERROR at once; false is said no sooner than after 20 ms."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.02)
        client.connect(("127.0.0.1", port))
        try:
            client.send(probe)
            reply = client.recv(4096)
        except ConnectionRefusedError:
            time.sleep(0.02)
            return False
        except TimeoutError:
            return False
    return reply[:2] == probe[:2] and reply[3] & 15 == 0


def last_line(log: Path) -> str:
    """What a server said last, for whoever asks why it ended."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

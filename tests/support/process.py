"""`clusterdns serve` as a process of its own, ready when it answers and ended as Kubernetes ends it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import dns.exception
import dns.message
import dns.query
import dns.rcode

from bench.processes import polls, with_role
from tests.support.netns import Namespace

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent

# Seconds. A start takes well under one on an idle machine; CI machines are not idle.
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0
_POLL = 0.05

# Could exist, so it is SERVFAIL until the objects are loaded.
PROBE = "probe.default.svc.cluster.local."


def eventually(condition: Callable[[], object], seconds: float = STOP_DEADLINE) -> bool:
    """Does `condition` become true in that time? For what another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL / 5)
    return True


def runs(pid: int) -> bool:
    """False for a zombie too: who is left behind has a parent that may not ask what became of it."""
    return _state(pid) not in ("", "Z")


class Server:
    """`python -m clusterdns serve -c corefile ARGUMENTS...` while the context is open.

    Entered, it has answered `probe` at `address` over UDP with anything but SERVFAIL. On exit it gets SIGTERM
    and must end with 0. Raises AssertionError with the server's output when either does not happen in time.
    """

    def __init__(
        self,
        corefile: Path,
        *arguments: str,
        address: tuple[str, int],
        namespace: Namespace | None = None,
        probe: str = PROBE,
    ) -> None:
        argv = [sys.executable, "-m", "clusterdns", "serve", "-c", str(corefile), *arguments]
        self._argv = namespace.command(*argv) if namespace else argv
        self._inside = namespace.entered if namespace else contextlib.nullcontext
        self._address = address
        self._probe = dns.message.make_query(probe, "A")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            # A file, not a pipe: nobody reads while the server runs, and a full pipe would stop it.
            self._log = undo.enter_context(tempfile.TemporaryFile())
            self._process = self._start()
            undo.callback(self._kill)
            self._wait_until_ready()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._log:
            try:
                self.stop()
            finally:
                self._kill()

    @property
    def pid(self) -> int:
        """The process id of the server itself, in a namespace too."""
        return self._process.pid

    def output(self) -> str:
        """What the server wrote to stdout and stderr so far."""
        # pread leaves the offset alone, which the server shares.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    @property
    def controller(self) -> int:
        """Its process id, 0 while there is none."""
        return next(iter(with_role(self.pid, "controller")), 0)

    def workers(self) -> list[int]:
        """Process ids of the workers that read the socket."""
        with self._inside():
            inodes = _udp_inodes(self._address[1])
        return [pid for pid in with_role(self.pid, "worker") if inodes and all(polls(pid, each) for each in inodes)]

    def await_workers(self, count: int) -> None:
        """Until that many serve, and no other is left."""

        def complete() -> bool:
            return len(self.workers()) == len(with_role(self.pid, "worker")) == count

        assert eventually(complete, START_DEADLINE), self.output()

    def by_each_worker(self, ask: Callable[[], T]) -> list[T]:
        """What `ask` returns when only the first worker runs, the second, and so on. Workers share their sockets, and
        who answers is nobody's choice."""
        pids, found = self.workers(), []
        for pid in pids:
            with _stopped(other for other in pids if other != pid):
                found.append(ask())
        return found

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit status. Raises AssertionError when it does not end by itself in that time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still there after {seconds} s:\n{self.output()}") from error

    def stop(self) -> None:
        """Send SIGTERM and wait for an exit with 0; nothing happens a second time."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait(STOP_DEADLINE)
        assert code == 0, f"exit code {code}:\n{self.output()}"

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while not self._answers():
            assert time.monotonic() < deadline, f"no answer within {START_DEADLINE} s:\n{self.output()}"
            # The wait is the pause between two probes, and ends early when the server does.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_POLL)
                raise AssertionError(f"ended with {code} before it answered:\n{self.output()}")

    def _answers(self) -> bool:
        host, port = self._address
        try:
            with self._inside():
                reply = dns.query.udp(self._probe, host, timeout=_POLL * 4, port=port)
        except (OSError, dns.exception.DNSException):
            return False
        return reply.rcode() != dns.rcode.SERVFAIL


@contextlib.contextmanager
def _stopped(pids: Iterable[int]) -> Iterator[None]:
    """Processes that do nothing, for shorter than anybody notices."""
    held = list(pids)
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert eventually(lambda: all(_state(pid) == "T" for pid in held))
        yield
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _udp_inodes(port: int) -> list[int]:
    """Of the sockets that are bound to that port, of any address of this thread's network (proc(5), /proc/net/udp)."""
    files = [Path("/proc/thread-self/net", name) for name in ("udp", "udp6")]
    rows = [line.split() for file in files if file.exists() for line in file.read_text().splitlines()[1:]]
    return [int(row[9]) for row in rows if row[1].endswith(f":{port:04X}")]


def _state(pid: int) -> str:
    """proc(5): the field behind the name, which may hold anything but ends with the last parenthesis. Empty for a
    process that is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""

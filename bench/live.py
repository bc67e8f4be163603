"""The processes of a live cluster: its API server, and clusterdns as a Deployment starts it."""

import compileall
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import IO, Any, cast

from bench.cluster import Manifest
from bench.errors import BenchError
from bench.processes import children, polls, tree, udp_inode, with_role
from bench.server import STOP_LIMIT, free_ports, last_line

ROOT = Path(__file__).parent.parent
# Seconds: far more than anything here takes that works
PATIENCE = 30.0
# Seconds between two looks at what another process does
_LOOK = 0.005

# What kubeadm installs, on free ports of this machine; `reload` and `loop` would act by themselves
_COREFILE = Template("""
.:$port {
    bind 127.0.0.1
    errors
    health 127.0.0.1:$health {
        lameduck $lameduck
    }
    ready 127.0.0.1:$ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint http://127.0.0.1:$api
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl $ttl
    }
    prometheus 127.0.0.1:$metrics
    forward . 127.0.0.1:$upstream {
        max_concurrent 1000
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loadbalance
}
""")


class ApiServer:
    """The process that `bench.api` is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._orders, self._answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        self.port = self.answer()["port"]

    def send(self, **order: Any) -> None:
        """The next `answer` is to this order."""
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()

    def answer(self) -> Manifest:
        """Raises BenchError when the process has ended."""
        if not (line := self._answers.readline()):
            raise BenchError("the API server of the benchmark ended; what it said is above")
        return json.loads(line)

    def order(self, **order: Any) -> Manifest:
        self.send(**order)
        return self.answer()


@dataclass(frozen=True, slots=True)
class Live:
    """A started server. `started`: the monotonic clock just before. `settings`: of its Corefile."""

    process: subprocess.Popen[bytes]
    started: float
    settings: dict[str, Any]
    directory: Path

    @property
    def port(self) -> int:
        return self.settings["port"]

    def configure(self, **changes: Any) -> None:
        """Writes the Corefile anew; the server hears of it by a signal."""
        unfinished = self.directory / "Corefile.new"
        unfinished.write_text(_COREFILE.substitute(self.settings | changes))
        unfinished.replace(self.directory / "Corefile")

    def serving(self) -> list[int]:
        """The processes that answer: workers whose loop has the socket, or the one there is."""
        inode = udp_inode(self.port)
        answering = with_role(self.process.pid, "worker") if children(self.process.pid) else [self.process.pid]
        return [pid for pid in answering if polls(pid, inode)]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits. Raises BenchError with what was awaited, when it does not come or the server ends."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise BenchError(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(_LOOK)


@contextmanager
def api_server(services: int, *options: str) -> Iterator[ApiServer]:
    """An API server with as many Services; it ends with its standard input."""
    command = [sys.executable, "-m", "bench.api", str(services), *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield ApiServer(process)


@contextmanager
def live(workers: int, directory: Path, api: int, upstream: int = 9, lameduck: str = "0s") -> Iterator[Live]:
    """Starts `clusterdns serve` with its files in the directory, and kills what is left of it in the end.

    A BenchError that comes out of it says what the server said last.
    """
    port, health, ready, metrics = free_ports(4)
    ports = {"port": port, "health": health, "ready": ready, "metrics": metrics, "api": api, "upstream": upstream}
    settings = ports | {"lameduck": lameduck, "ttl": 30}
    (directory / "Corefile").write_text(_COREFILE.substitute(settings))
    command = [
        sys.executable,
        "-m",
        "clusterdns",
        "serve",
        "-c",
        str(directory / "Corefile"),
        "--workers",
        str(workers),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (directory / "server.log").open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield Live(process, started, settings, directory)
    except BenchError as error:
        ended = "" if process.poll() is None else f", which ended with status {process.returncode}"
        raise BenchError(f"{error}; last line of the server{ended}: {last_line(directory / 'server.log')}") from error
    finally:
        _end(process)


def compile_all() -> None:
    """An image holds compiled code: a start is not to compile it."""
    compileall.compile_dir(ROOT / "clusterdns", quiet=1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing is measured any more: what SIGTERM does not end soon is killed, with all below it."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

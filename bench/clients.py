"""Starts the clients that run beside a scenario, and reads what became of their queries."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, cast

from bench.asked import Asked, write
from bench.errors import BenchError
from bench.live import ROOT
from bench.packets import Query


@dataclass(slots=True)
class Report:
    """Counts of one client, known when its `with` is over. Milliseconds; `lost_queries`: monotonic ns and name."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    retried: int = 0
    wrong: int = 0
    p50: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0
    lost_queries: list[tuple[int, str]] = field(default_factory=list)
    wrong_replies: list[str] = field(default_factory=list)


@contextmanager
def paced(port: int, rate: float, queries: Sequence[Query], cpu: int = -1) -> Iterator[Report]:
    """Queries over UDP, evenly, none of them twice: see `bench.paced`. `cpu`: where, -1 for anywhere."""
    with _client("bench.paced", queries, port, rate, f"--cpu={cpu}") as report:
        yield report


@contextmanager
def retrying(port: int, transport: str, rate: float, queries: Sequence[Query]) -> Iterator[Report]:
    """Queries over `udp` or `tcp`, each a second time when it failed: see `bench.retrying`."""
    with _client("bench.retrying", queries, port, transport, rate) as report:
        yield report


@contextmanager
def upstream(port: int) -> Iterator[None]:
    """A resolver outside the cluster: see `bench.upstream`."""
    with _started("bench.upstream", port) as process:
        yield
        cast(IO[bytes], process.stdin).close()


@contextmanager
def _client(program: str, queries: Sequence[Query], *options: Any) -> Iterator[Report]:
    """A client from its first query until all of its queries are answered or lost. Raises BenchError if it fails."""
    report = Report()
    with TemporaryDirectory(prefix="clusterdns-queries-") as directory:
        file = Path(directory) / "queries"
        write(file, [Asked(query.name, query.wire().hex(), query.rcode, query.answers) for query in queries])
        with _started(program, *options, file) as process:
            yield report
            cast(IO[bytes], process.stdin).close()
            found = cast(IO[bytes], process.stdout).readline()
    if not found:
        raise BenchError(f"{program} failed; what it said is above")
    for name, value in json.loads(found).items():
        setattr(report, name, value)


@contextmanager
def _started(program: str, *options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the benchmark that has said that it begins. It ends with its standard input."""
    command = [sys.executable, "-m", program, *map(str, options)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if not cast(IO[bytes], process.stdout).readline():
            raise BenchError(f"{program} does not start; what it said is above")
        yield process

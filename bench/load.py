"""Runs the load generator and reads what it counted."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.packets import Replies


@dataclass(frozen=True, slots=True)
class Load:
    """How queries are sent. The defaults are what every scenario shares with its floor.

    64 unanswered queries are few enough to fit any receive buffer and enough that a server which answers
    as fast as it can never waits; eight sockets are eight clients. `rate` is in queries a second, 0 for as
    fast as the replies come.
    """

    window: int = 64
    sockets: int = 8
    rate: int = 0
    mix_case: bool = False
    cookie: bool = False
    count_names: bool = False
    tcp: bool = False

    def floor(self) -> "Load":
        """The same load as the floor gets it: over UDP, with nothing done to the packets."""
        return Load(self.window, self.sockets, self.rate)

    def arguments(self, first_name: int) -> list[str]:
        """Options of the generator; `first_name` is where the counted names of this run begin."""
        limits = ["-w", str(self.window), "-s", str(self.sockets), *(["-r", str(self.rate)] if self.rate else [])]
        flags = {"-c": self.mix_case, "-k": self.cookie, "-t": self.tcp}
        names = ["-u", str(first_name)] if self.count_names else []
        return limits + names + [flag for flag, wanted in flags.items() if wanted]


@dataclass(frozen=True, slots=True)
class Report:
    """The generator's counts. `mismatched`: replies that do not repeat their question; `seconds`: wall time."""

    sent: int
    lost: int
    stray: int
    mismatched: int
    seconds: float
    replies: Replies


def run_load(program: Path, packets: Path, port: int, arguments: list[str]) -> Report:
    """Sends to 127.0.0.1:`port` until the generator has had enough. Raises BenchError when it fails."""
    command = [str(program), "-p", str(port), "-f", str(packets), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip().splitlines()[0])
    return _report(json.loads(done.stdout))


def _report(counts: dict) -> Report:
    rcodes = {int(rcode): count for rcode, count in counts["rcodes"].items()}
    replies = Replies(counts["received"], rcodes, counts["answers"], counts["truncated"])
    return Report(*(counts[name] for name in ("sent", "lost", "stray", "mismatched", "seconds")), replies)

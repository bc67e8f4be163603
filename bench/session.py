"""One run: every setup is started once, every scenario measured several times, the floor in between."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.build import compiled
from bench.load import Load, Report, run_load
from bench.objects import write_manifests
from bench.packets import Query, expected, framed
from bench.scenarios import HIT, Scenario, Setup
from bench.server import Server, free_ports, load_cpu, pinned, running, server_cpu

ROOT = Path(__file__).parent.parent
# names a run may count through before the next one begins; 256 runs fit into eight hex digits
NAMES_PER_RUN = 1 << 24


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: runs of each scenario, the generator's option that ends one, queries before it."""

    rounds: int
    amount: tuple[str, str]
    warm_up: int


# the median of five bears two disturbed runs; 0.8 s is 150,000 hits
FULL = Plan(rounds=5, amount=("-d", "0.8"), warm_up=4000)
SMOKE = Plan(rounds=1, amount=("-n", "400"), warm_up=64)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run: CPU microseconds of the server per reply, what the generator counted, what is wrong with it."""

    microseconds: float
    report: Report
    problem: str


Measurements = dict[str, list[Measurement]]


def floor_name(load: Load) -> str:
    """What the floor under this load is called in the table."""
    return f"floor at {load.rate:,}/s" if load.rate else "floor"


def problem(queries: tuple[Query, ...], report: Report) -> str:
    """Empty when every query got the right reply; else what came instead."""
    if report.lost or report.stray or report.mismatched:
        return f"{report.lost} lost, {report.stray} late or unasked, {report.mismatched} with another question"
    right = expected(queries, report.sent)
    return "" if report.replies == right else f"{report.replies}, expected {right}"


@dataclass(frozen=True, slots=True)
class Bench:
    """The programs of a run, and what they measured so far, by name of scenario or floor."""

    plan: Plan
    directory: Path
    floor: Server
    upstream: Server
    scenarios: tuple[Scenario, ...]
    measurements: Measurements = field(default_factory=lambda: defaultdict(list))
    first_names: Iterator[int] = field(default_factory=lambda: count(0, NAMES_PER_RUN))

    def run(self) -> Measurements:
        """Everything, in the order of the table; the floor also at the end."""
        setups = list(dict.fromkeys(scenario.setup for scenario in self.scenarios))
        for setup in setups:
            self._run_setup(setup, [scenario for scenario in self.scenarios if scenario.setup == setup])
        self._measure_floors(list(self.scenarios))
        return dict(self.measurements)

    def _run_setup(self, setup: Setup, scenarios: list[Scenario]) -> None:
        with serving(setup, self.directory, self.upstream.port) as server:
            for turn in range(1, self.plan.rounds + 1):
                print(f"{setup.name}: round {turn} of {self.plan.rounds}", file=sys.stderr)
                self._measure_floors(scenarios)
                for scenario in scenarios:
                    self._measure(scenario.name, server, scenario.queries, scenario.load)

    def _measure_floors(self, scenarios: list[Scenario]) -> None:
        for load in dict.fromkeys(scenario.load.floor() for scenario in scenarios):
            self._measure(floor_name(load), self.floor, HIT, load)

    def _measure(self, name: str, server: Server, queries: tuple[Query, ...], load: Load) -> None:
        packets = self.directory / "packets"
        packets.write_bytes(framed(queries))
        self._load(packets, server, load, ("-n", str(self.plan.warm_up)))
        before = server.cpu_ns()
        report = self._load(packets, server, load, self.plan.amount)
        spent = (server.cpu_ns() - before) / 1000
        received = max(report.replies.received, 1)
        self.measurements[name].append(Measurement(spent / received, report, problem(queries, report)))

    def _load(self, packets: Path, server: Server, load: Load, amount: tuple[str, str]) -> Report:
        arguments = [*load.arguments(next(self.first_names)), *amount]
        with pinned(load_cpu()):
            return run_load(compiled("load"), packets, server.port, arguments)


def measured(plan: Plan, directory: Path, scenarios: tuple[Scenario, ...]) -> Measurements:
    """Runs the plan with its files in the directory. Raises BenchError when something does not start."""
    write_manifests(_made(directory / "manifests"))
    with ExitStack() as stack:
        floor = stack.enter_context(_floor("floor", server_cpu(), directory))
        upstream = stack.enter_context(_floor("upstream", load_cpu(), directory, "awake"))
        return Bench(plan, directory, floor, upstream, scenarios).run()


@contextmanager
def serving(setup: Setup, directory: Path, upstream: int) -> Iterator[Server]:
    """The server of a setup, with its Corefile in the directory."""
    port, health, ready, metrics = free_ports(4)
    corefile = directory / f"{setup.name}.Corefile"
    corefile.write_text(
        setup.corefile.substitute(
            port=port, health=health, ready=ready, metrics=metrics, upstream=upstream, manifests=directory / "manifests"
        )
    )
    serve = ["bench.churn", str(setup.events)] if setup.events else ["clusterdns", "serve"]
    command = [sys.executable, "-m", *serve, "-c", str(corefile)]
    with running(command, port, server_cpu(), HIT[0].wire(), directory / f"{setup.name}.log", ROOT) as server:
        yield server


@contextmanager
def _floor(name: str, cpu: int, directory: Path, *options: str) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [str(compiled("floor")), "127.0.0.1", str(port), *options]
    with running(command, port, cpu, HIT[0].wire(), directory / f"{name}.log", ROOT) as server:
        yield server


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory

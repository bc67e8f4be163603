"""`python -m bench.scale`: a cluster of 8,000 Services from its API server; status 1 when an answer was wrong or
did not come, whatever the time."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from bench.clients import Report
from bench.errors import BenchError
from bench.live import api_server, compile_all
from bench.scale_runs import FULL, LOAD, SMOKE, Plan, Scale, Series
from bench.table import grid, verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, its unit, at most how much it should be, how it came about, and who used the CPUs meanwhile."""

    name: str
    value: float
    unit: str
    target: float | None = None
    more: str = ""
    busy: str = ""
    problem: str = ""

    @property
    def verdict(self) -> str:
        return verdict(self.problem, self.value, self.target)

    def cells(self) -> tuple[str, ...]:
        target = "-" if self.target is None else f"{self.target:.3g}"
        return (self.name, f"{self.value:.2f}", self.unit, self.more, target, self.verdict, self.busy)


def starts(scale: Scale) -> Iterator[Row]:
    seconds = scale.starts()
    spread = f"{seconds.values[0]:.2f}-{seconds.values[-1]:.2f}, {len(seconds.values)} starts"
    yield Row("start to first right answer", seconds.quantile(0.5), "s", 3.0, spread, seconds.busy)


def memory(scale: Scale) -> Iterator[Row]:
    found = scale.memory()
    peak, last = found.peak.total() / 1024, found.last.total() / 1024
    yield Row("peak memory, all listed twice", peak, "MiB PSS", 130.0, _roles(found.peak))
    yield Row("with files that other programs share", peak + found.foreign / 1024, "MiB")
    yield Row("memory after it", last, "MiB PSS", more=_roles(found.last))


def events(scale: Scale) -> Iterator[Row]:
    with scale.live() as server:
        yield from _event_rows("event to answer", scale.events(server, 0), {0.5: 2.0, 0.99: 5.0})
        background = scale.plan.background
        yield from _event_rows(
            f"the same at {background} events/s", scale.events(server, background), {0.5: None, 0.99: 10.0}
        )


def storm(scale: Scale) -> Iterator[Row]:
    with scale.live() as server:
        found = scale.storm(server)
    rate = f"{found.changed:,} changes in {scale.plan.storm_seconds:g} s"
    yield from _event_rows(rate, found.events, {0.5: None, 0.99: 200.0})
    quiet, stormy = found.quiet, found.stormy
    load = f"{LOAD:,} queries/s"
    yield Row(f"{load}, p99", quiet.p99, "ms", None, _spread(quiet), found.quiet_busy, _problem(quiet))
    target = 2 * quiet.p99
    yield Row(f"{load}, {rate}, p99", stormy.p99, "ms", target, _spread(stormy), found.events.busy, _problem(stormy))


SCENARIOS: dict[str, Callable[[Scale], Iterator[Row]]] = {
    "start": starts,
    "memory": memory,
    "events": events,
    "storm": storm,
}


def main() -> int:
    """Exit status: 0 when every answer came and was right."""
    options = _options()
    plan = SMOKE if options.smoke else FULL
    try:
        table = measured(plan, options.workers, options.only, options.streaming_list)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print("\n".join(json.dumps(asdict(row)) for row in table) if options.json else markdown(table))
    for row in table:
        if row.problem:
            print(f"bench: {row.name}: {row.problem}", file=sys.stderr)
    return int(any(row.problem for row in table))


def measured(plan: Plan, workers: int, only: list[str], streaming_list: bool) -> list[Row]:
    """The rows of the chosen scenarios. Raises BenchError when something does not start or never answers."""
    compile_all()
    rows: list[Row] = []
    with api_server(plan.services, *(["--streaming-list"] if streaming_list else [])) as api:
        scale = Scale(plan, workers, api)
        for name in only or SCENARIOS:
            print(f"{name}...", file=sys.stderr)
            rows += SCENARIOS[name](scale)
    return rows


def markdown(rows: list[Row]) -> str:
    return grid([("scenario", "value", "unit", "how", "target", "ok", "CPU"), *(row.cells() for row in rows)])


def _event_rows(name: str, found: Series, targets: dict[float, float | None]) -> Iterator[Row]:
    for share, target in targets.items():
        more = f"{len(found.values)} events, slowest {found.values[-1]:.1f}"
        yield Row(f"{name}, p{share * 100:.0f}", found.quantile(share), "ms", target, more, found.busy)


def _roles(kib: Counter[str]) -> str:
    return " + ".join(f"{role} {size / 1024:.0f}" for role, size in kib.items())


def _spread(report: Report) -> str:
    return f"p50 {report.p50:.2f}, slowest {report.slowest:.1f}, {report.lost} of {report.sent} lost"


def _problem(report: Report) -> str:
    if report.lost:
        return f"{report.lost} queries lost"
    return f"{report.wrong} wrong replies, the first: {report.wrong_replies[0]}" if report.wrong else ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="A large cluster, from its API server")
    parser.add_argument("--smoke", action="store_true", help="a small cluster, a few events: is it right, not how fast")
    parser.add_argument("--workers", type=int, default=1, help="of the server (1); 0 is one process for everything")
    parser.add_argument(
        "--only", action="append", default=[], choices=SCENARIOS, help="this one alone; may be repeated"
    )
    parser.add_argument("--streaming-list", action="store_true", help="the API server has the streaming list")
    parser.add_argument("--json", action="store_true", help="one JSON object a row in place of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Measurements as the rows of a table, and the table as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.scenarios import Scenario
from bench.session import Measurement, Measurements, floor_name


@dataclass(frozen=True, slots=True)
class Row:
    """Median CPU microseconds per query, its extremes, and the ratio to the median of the baseline.

    `sent` and `rcodes` are sums over all runs. `problem` is what was wrong with the first wrong run.
    """

    name: str
    microseconds: float
    lowest: float
    highest: float
    ratio: float
    baseline: str
    target: float | None
    sent: int
    rcodes: dict[int, int]
    problem: str

    @property
    def verdict(self) -> str:
        return verdict(self.problem, self.ratio, self.target)


def verdict(problem: str, value: float, target: float | None) -> str:
    """The column `ok`: was it right, and is it no more than it should be?"""
    if problem:
        return "wrong"
    if target is None:
        return "-"
    return "yes" if value <= target else "no"


def rows(measurements: Measurements, chosen: Iterable[Scenario]) -> list[Row]:
    """The floors, then the scenarios in their order."""
    chosen = list(chosen)
    floors = dict.fromkeys(floor_name(scenario.load) for scenario in chosen)
    scenarios = [_scenario_row(scenario, measurements) for scenario in chosen]
    return [_row(name, name, None, measurements) for name in floors] + scenarios


def markdown(rows: Iterable[Row]) -> str:
    """A table that reads well in a terminal and in docs/performance.md."""
    return grid([("scenario", "us/query", "lowest-highest", "ratio", "to", "target", "ok"), *map(_cells, rows)])


def grid(lines: Iterable[tuple[str, ...]]) -> str:
    """Cells as a table, the first line is its head."""
    cells = list(lines)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    padded = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(f"| {line} |" for line in padded)


def _scenario_row(scenario: Scenario, measurements: Measurements) -> Row:
    baseline = scenario.baseline or floor_name(scenario.load)
    return _row(scenario.name, baseline, scenario.target, measurements)


def _row(name: str, baseline: str, target: float | None, measurements: Measurements) -> Row:
    runs = measurements[name]
    costs = [run.microseconds for run in runs]
    return Row(
        name=name,
        microseconds=median(costs),
        lowest=min(costs),
        highest=max(costs),
        ratio=median(costs) / median(run.microseconds for run in measurements[baseline]),
        baseline=baseline,
        target=target,
        sent=sum(run.report.sent for run in runs),
        rcodes=_rcodes(runs),
        problem=next((run.problem for run in runs if run.problem), ""),
    )


def _rcodes(runs: list[Measurement]) -> dict[int, int]:
    seen = sorted({rcode for run in runs for rcode in run.report.replies.rcodes})
    return {rcode: sum(run.report.replies.rcodes.get(rcode, 0) for run in runs) for rcode in seen}


def _cells(row: Row) -> tuple[str, ...]:
    target = "-" if row.target is None else f"{row.target:.1f}"
    spread = f"{row.lowest:.2f}-{row.highest:.2f}"
    return (row.name, f"{row.microseconds:.2f}", spread, f"{row.ratio:.2f}", row.baseline, target, row.verdict)

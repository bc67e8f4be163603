"""`python -m bench.resilience`: what clients lose when processes die, the Corefile changes, and the server ends;
status 1 when it is more than it may be."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.clients import Report, upstream
from bench.errors import BenchError
from bench.live import api_server, compile_all, live
from bench.resilience_runs import FULL, SCENARIOS, SMOKE, Plan, Scenario, Stage, clients
from bench.server import free_ports
from bench.table import grid

# Milliseconds in which a client is told that its connection is gone: before any resolver would have given up by itself
FAST = 1000.0


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of client in one scenario. `target`: at most so many lost; over TCP a try fails fast or not at all."""

    scenario: str
    client: str
    sent: int
    answered: int
    lost: int
    retried: int
    wrong: int
    target: int
    ok: bool
    more: str

    def cells(self) -> tuple[str, ...]:
        counts = (f"{count:,}" for count in (self.sent, self.answered, self.lost, self.retried, self.wrong))
        return (self.scenario, self.client, *counts, str(self.target), "yes" if self.ok else "no", self.more)


def main() -> int:
    """Exit status: 0 when every row is ok."""
    options = _options()
    try:
        table = measured(SMOKE if options.smoke else FULL, options.workers, options.only or list(SCENARIOS))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print("\n".join(json.dumps(asdict(row)) for row in table) if options.json else markdown(table))
    return int(not all(row.ok for row in table))


def measured(plan: Plan, workers: int, names: list[str]) -> list[Row]:
    """The rows of the scenarios. Raises BenchError when something does not start or does not come back."""
    compile_all()
    (port,) = free_ports(1)
    chosen = [SCENARIOS[name] for name in SCENARIOS if name in names and (workers or not SCENARIOS[name].roles)]
    rows: list[Row] = []
    with (
        TemporaryDirectory(prefix="clusterdns-resilience-") as directory,
        api_server(plan.services) as api,
        upstream(port),
        live(workers, Path(directory), api.port, port, f"{plan.lameduck}s") as server,
    ):
        # The same server for all of it, as in a cluster; the end is the last
        for scenario in chosen:
            print(f"{scenario.name(plan)}...", file=sys.stderr)
            rows += _rows(scenario, Stage(server, api, plan, workers))
    return rows


def markdown(rows: list[Row]) -> str:
    head = ("scenario", "clients", "sent", "answered", "lost", "retried", "wrong", "may be lost", "ok", "how")
    return grid([head, *(row.cells() for row in rows)])


def _rows(scenario: Scenario, stage: Stage) -> Iterator[Row]:
    stage.await_answers()
    with clients(stage.server.port, stage.plan) as reports:
        scenario.act(stage)
    _explain(reports, stage.blows)
    scenario.after(stage)
    for client, report in reports.items():
        target = scenario.lost(stage.plan) if client == "UDP" else 0
        yield _row(scenario.name(stage.plan), client, report, target, "; ".join(stage.notes))


def _row(scenario: str, client: str, report: Report, target: int, notes: str) -> Row:
    fast = not client.endswith("TCP") or report.slowest <= FAST
    ok = report.lost <= target and not report.wrong and fast
    counts = (report.sent, report.answered, report.lost, report.retried, report.wrong)
    if client == "UDP":
        more = f"p99 {report.p99:.1f} ms, slowest {report.slowest:.0f} ms"
    else:
        more = f"slowest failure {report.slowest:.0f} ms"
    return Row(scenario, client, *counts, target, ok, f"{more}; {notes}" if notes and client == "UDP" else more)


def _explain(reports: dict[str, Report], blows: list[int]) -> None:
    """Each lost query with the blow that was next to it."""
    for client, report in reports.items():
        for at, name in report.lost_queries:
            number, blow = min(enumerate(blows, 1), key=lambda numbered: abs(at - numbered[1]))
            print(f"{client}: lost {name} sent {(at - blow) / 1e6:+.1f} ms from blow {number}", file=sys.stderr)
        for text in report.wrong_replies:
            print(f"{client}: wrong: {text}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.resilience", description="Kills, reloads and ends, under load"
    )
    parser.add_argument("--smoke", action="store_true", help="one of each, with a few hundred queries")
    parser.add_argument("--workers", type=int, default=2, help="of the server (2); 0 leaves the kills out")
    parser.add_argument(
        "--only", action="append", default=[], choices=SCENARIOS, help="this one alone; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row in place of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

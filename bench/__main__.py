"""`python -m bench`: measures, prints the table; status 1 when a reply was wrong, whatever the speed."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.errors import BenchError
from bench.scenarios import SCENARIOS, Scenario
from bench.session import FULL, SMOKE, measured
from bench.table import Row, markdown, rows


def main() -> int:
    """Exit status: 0 when every reply of every scenario was right."""
    arguments = _arguments()
    try:
        with TemporaryDirectory(prefix="clusterdns-bench-") as directory:
            chosen = _chosen(arguments.only)
            table = rows(measured(SMOKE if arguments.smoke else FULL, Path(directory), chosen), chosen)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(_lines(table) if arguments.json else markdown(table))
    for row in table:
        if row.problem:
            print(f"bench: {row.name}: {row.problem}", file=sys.stderr)
    return int(any(row.problem for row in table))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU time per query, against a floor")
    parser.add_argument("--smoke", action="store_true", help="a few hundred queries each: is it right, not how fast")
    parser.add_argument("--only", default="", metavar="WORDS", help="only scenarios with these words in their name")
    parser.add_argument("--json", action="store_true", help="one JSON object a row in place of the table")
    return parser.parse_args()


def _chosen(words: str) -> tuple[Scenario, ...]:
    """The scenarios with these words in their name, and those they are compared with."""
    matching = [scenario for scenario in SCENARIOS if words in scenario.name]
    needed = {scenario.name for scenario in matching} | {scenario.baseline for scenario in matching}
    return tuple(scenario for scenario in SCENARIOS if scenario.name in needed)


def _lines(table: list[Row]) -> str:
    return "\n".join(json.dumps(asdict(row)) for row in table)


if __name__ == "__main__":
    sys.exit(main())

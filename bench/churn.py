"""`clusterdns serve` whose Services change all the time: `python -m bench.churn EVENTS_A_SECOND -c COREFILE`.

The changes come as a watch would bring them, one by one and evenly, through the `apply` that every source uses.
"""

import argparse
import asyncio
import sys
import time
from itertools import cycle, islice

from bench.objects import changes
from clusterdns.kube.manifest import from_value
from clusterdns.kube.objects import Kind
from clusterdns.roles.solo import Solo, serve
from clusterdns.settings import Settings

# seconds between two looks at the clock: at 500 events a second one event each time
_STEP = 0.002


async def change(solo: Solo, rate: int) -> None:
    """Apply `rate` changes a second for ever, to the stores of the first source."""
    upserts = cycle(event for manifest in changes() if (event := from_value(Kind.SERVICE, manifest)))
    source, _ = next(iter(solo.config.shared.stores))
    started, done = time.monotonic(), 0
    while True:
        await asyncio.sleep(_STEP)
        due = int((time.monotonic() - started) * rate)
        solo.apply(source, list(islice(upserts, due - done)))
        done = due


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rate", type=int)
    parser.add_argument("-c", required=True)
    options = parser.parse_args()
    tasks = []

    def begin(solo: Solo) -> None:
        tasks.append(asyncio.get_running_loop().create_task(change(solo, options.rate)))

    asyncio.run(serve(Settings(options.c), print, begin))


if __name__ == "__main__":
    sys.exit(main())

"""`clusterdns serve` whose Services change all the time: `python -m bench.churn EVENTS_A_SECOND -c COREFILE`.

The changes come as a watch would bring them, one by one and evenly: a process of its own writes an octet for each to a
pipe, and the server takes the next change through the `apply` that every source uses.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from itertools import cycle, islice

from bench.objects import changes
from bench.server import load_cpu, pinned
from clusterdns.kube.manifest import from_value
from clusterdns.kube.objects import Kind
from clusterdns.roles.solo import Solo, serve
from clusterdns.settings import Settings

# writes octets evenly until nobody reads
_TICKER = """
import os, sys, time
rate, due = int(sys.argv[1]), time.monotonic()
while True:
    due += 1 / rate
    time.sleep(max(0, due - time.monotonic()))
    try:
        os.write(1, b".")
    except BrokenPipeError:
        break
"""


def begin(solo: Solo, rate: int) -> None:
    """Have the stores of the first source changed `rate` times a second."""
    upserts = cycle([event for manifest in changes() if (event := from_value(Kind.SERVICE, manifest))])
    source, _ = next(iter(solo.config.shared.stores))
    ours, theirs = os.pipe()
    with pinned(load_cpu()):
        subprocess.Popen([sys.executable, "-c", _TICKER, str(rate)], stdout=theirs)
    os.close(theirs)

    def take() -> None:
        solo.serving.take(source, list(islice(upserts, len(os.read(ours, 4096)))), int(time.time()))

    asyncio.get_running_loop().add_reader(ours, take)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rate", type=int)
    parser.add_argument("-c", required=True)
    options = parser.parse_args()
    asyncio.run(serve(Settings(corefile=options.c), print, lambda solo: begin(solo, options.rate)))


if __name__ == "__main__":
    sys.exit(main())

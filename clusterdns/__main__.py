"""`python -m clusterdns`, and the `clusterdns` command."""

import os
import signal
import sys


def run() -> None:
    # While it starts there is nothing to finish: a signal ends it at once, without a traceback
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    for number in (signal.SIGHUP, signal.SIGUSR1):
        # Whoever reads the Corefile next reads the newest one anyway
        signal.signal(number, signal.SIG_IGN)
    from clusterdns.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()

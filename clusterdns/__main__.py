"""`python -m clusterdns`, and the `clusterdns` command."""

import sys

from clusterdns.cli import main


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()

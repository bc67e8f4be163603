"""What the HTTP side asks of the process that it runs in."""

from typing import Protocol


class Probes(Protocol):
    """Asked anew for each request."""

    def stopped(self) -> list[str]:
        """Loops that do not run any more, each with what is known; none: the process is healthy."""

    def unready(self) -> list[str]:
        """What is missing for good answers, as `plugin: what`; none: ready."""

    def draining(self) -> bool:
        """Has the end begun? Then it is never ready again."""

    def report(self) -> list[str]:
        """Lines for whoever wants to know more: ages of the watches, repairs, workers."""

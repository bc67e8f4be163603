"""What a request is told: path and state to status and text."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from clusterdns.admin.probes import Probes
from clusterdns.plugins.site import Process, Where

# Answers to these have no side effect
METHODS = ("GET", "HEAD")


class Reply(NamedTuple):
    """Status and lines of text."""

    status: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line is sent as CoreDNS sends it, without an end; several are for people."""
        return self.lines[0] if len(self.lines) == 1 else "".join(f"{line}\n" for line in self.lines)


Page = Callable[[Probes], Reply]

_OK = Reply(200, ("OK",))


def health(probes: Probes) -> Reply:
    """Loops that ended are no illness of a process that is about to end: it must not be killed while it drains."""
    stopped = () if probes.draining() else tuple(probes.stopped())
    return Reply(503, stopped) if stopped else _OK


class Readiness:
    """`continuously`: ready may be lost again. Without it, who was ready once stays so until the end begins."""

    def __init__(self, continuously: bool) -> None:
        self._continuously = continuously
        self._was_ready = False

    def __call__(self, probes: Probes) -> Reply:
        if probes.draining():
            return Reply(503, ("shutting down",))
        if self._was_ready and not self._continuously:
            return _OK
        missing = probes.unready()
        self._was_ready = not missing
        return Reply(503, (_plugins(missing), *missing)) if missing else _OK


def _plugins(missing: list[str]) -> str:
    """The names in front of the colons, as CoreDNS lists them."""
    return ",".join(sorted({line.partition(":")[0] for line in missing}))


def by_address(process: Process) -> dict[Where, dict[str, Page]]:
    """The pages of each address by path."""
    found: dict[Where, dict[str, Page]] = {}
    for where in process.health:
        found.setdefault(where, {})["/health"] = health
    for where, continuously in process.ready.items():
        found.setdefault(where, {})["/ready"] = Readiness(continuously)
    return found


def answer(pages: Mapping[str, Page], method: str, path: str, verbose: bool, probes: Probes) -> Reply:
    """`verbose`: with the report below."""
    page = pages.get(path)
    if page is None:
        return Reply(404, (f"there is only {' and '.join(pages)} here",))
    if method not in METHODS:
        return Reply(405, (f"only {' and '.join(METHODS)} are answered here",))
    reply = page(probes)
    return Reply(reply.status, (*reply.lines, *probes.report())) if verbose else reply

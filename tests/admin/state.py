"""A process as the pages see it."""

from dataclasses import dataclass, field


@dataclass
class State:
    """`error` is raised when it is asked what is missing; `asked` counts those questions."""

    loops: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ending: bool = False
    lines: list[str] = field(default_factory=list)
    error: Exception | None = None
    asked: int = 0

    def stopped(self) -> list[str]:
        return self.loops

    def unready(self) -> list[str]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.missing

    def draining(self) -> bool:
        return self.ending

    def report(self) -> list[str]:
        return self.lines

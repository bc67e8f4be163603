"""Which complaints are news: each is said once, and once more when it is mended. Pure."""

from collections.abc import Collection, Mapping, Sequence

# Lines of one scan, and characters of one line: a wrong file may hold 100,000 wrong objects.
MAX_LINES = 100
MAX_LENGTH = 1000


class Complaints:
    """Remembers what was said about each subject (a path, `Namespace x`)."""

    def __init__(self) -> None:
        self._said: Mapping[str, Sequence[str]] = {}

    def news(self, now: Mapping[str, Sequence[str]], gone: Collection[str]) -> list[str]:
        """`now`: all complaints by subject. `gone`: subjects that are no more, so that nothing of them is mended."""
        said = {text for texts in self._said.values() for text in texts}
        fresh = [text for texts in now.values() for text in texts if text not in said]
        mended = [f"{subject}: is good again" for subject in self._said if subject not in now and subject not in gone]
        self._said = now
        return _limited(fresh + mended)


def _limited(lines: list[str]) -> list[str]:
    more = [f"{len(lines) - MAX_LINES} more complaints are not shown; mend these first"] if lines[MAX_LINES:] else []
    return [line[:MAX_LENGTH] for line in lines[:MAX_LINES]] + more

"""`errors`: which failures are written, when windows end, and how much at most."""

import pytest

from clusterdns.plugins.errors import MAX_LINES, MAX_PATTERN, Errors
from tests.plugins.blocks import block, configured, mistakes, outcome

TIMEOUT = "forward: no answer from dns://192.0.2.1:53: timed out"
REFUSED = "forward: no answer from dns://192.0.2.1:53: Connection refused"


class Written:
    """The observer that a block sets up, and its lines."""

    def __init__(self, *lines: str) -> None:
        self.lines: list[str] = []
        config = configured(block(*lines, "whoami"), self.lines)
        (observer,) = config.shared.timed
        assert isinstance(observer, Errors)
        self.observer = observer

    def fail(self, error: str, at: float, times: int = 1) -> None:
        for _ in range(times):
            self.observer.observe(outcome(error=error, at=at, rcode=2))

    def tick(self, now: float) -> list[str]:
        """The lines since the last tick, this one's included."""
        self.observer.tick(now)
        lines, self.lines[:] = list(self.lines), []
        return lines


def consolidating(*options: str) -> Written:
    return Written("errors {", *options, "}")


def test_a_failure_is_one_line():
    written = Written("errors")
    written.observer.observe(outcome("a.test.", "MX", TIMEOUT, rcode=2))
    assert written.tick(0) == [f"[ERROR] plugin/errors: 2 a.test. MX: {TIMEOUT}"]


def test_a_reply_without_a_failure_is_none_whatever_its_rcode():
    written = Written("errors")
    written.observer.observe(outcome(rcode=2))
    assert written.tick(0) == []


def test_a_hostile_name_cannot_forge_a_line():
    written = Written("errors")
    packet = b"\0\1\1\0\0\1\0\0\0\0\0\0\x09a\nERROR\0\x1b\0\0\1\0\1"
    written.observer.observe(outcome(error=TIMEOUT, packet=packet, rcode=2))
    (line,) = written.tick(0)
    assert line == f"[ERROR] plugin/errors: 2 a\\010error\\000\\027. A: {TIMEOUT}"


def test_a_window_opens_with_its_first_failure_and_is_counted_at_its_end():
    written = consolidating('consolidate 30s "timed out$" warning')
    written.fail(TIMEOUT, at=100)
    written.fail(TIMEOUT, at=129, times=2)
    assert written.tick(129.9) == []
    assert written.tick(130) == ["[WARNING] plugin/errors: 3 errors like 'timed out$' occurred in last 30s"]


def test_a_window_does_not_open_by_itself():
    written = consolidating('consolidate 30s "timed out$"')
    written.fail(TIMEOUT, at=0)
    assert len(written.tick(30)) == 1
    assert written.tick(60) == []
    written.fail(TIMEOUT, at=75)
    assert written.tick(104) == []
    assert written.tick(105) == ["[ERROR] plugin/errors: 1 errors like 'timed out$' occurred in last 30s"]


def test_what_matches_no_pattern_is_written_at_once():
    written = consolidating('consolidate 30s "timed out$"')
    written.fail(REFUSED, at=1)
    assert written.tick(1) == [f"[ERROR] plugin/errors: 2 x.test. A: {REFUSED}"]


def test_the_first_pattern_that_matches_counts():
    written = consolidating('consolidate 10s "refused" info', 'consolidate 10s "^forward" debug')
    written.fail(REFUSED, at=0)
    written.fail(TIMEOUT, at=0, times=2)
    assert written.tick(10) == [
        "[INFO] plugin/errors: 1 errors like 'refused' occurred in last 10s",
        "[DEBUG] plugin/errors: 2 errors like '^forward' occurred in last 10s",
    ]


@pytest.mark.parametrize("words", ["warning show_first", "show_first"])
def test_show_first_writes_the_first_of_each_window(words):
    level = "WARNING" if "warning" in words else "ERROR"
    written = consolidating(f'consolidate 5m "^forward" {words}')
    for start in (0, 400):
        written.fail(TIMEOUT, at=start)
        written.fail(REFUSED, at=start + 1)
        first, count = written.tick(start + 300)
        assert first == f"[{level}] plugin/errors: 2 x.test. A: {TIMEOUT}"
        assert count == f"[{level}] plugin/errors: 2 errors like '^forward' occurred in last 300s"


def test_a_flood_is_limited_and_what_was_left_out_is_counted():
    written = Written("errors")
    written.fail(REFUSED, at=7.0, times=MAX_LINES + 40)
    assert len(written.tick(7.9)) == MAX_LINES
    (line,) = written.tick(8.1)
    assert line == f"[ERROR] plugin/errors: 40 more lines were left out, above {MAX_LINES} in a second"
    written.fail(REFUSED, at=9.0)
    assert len(written.tick(9.0)) == 1


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["errors file"], 'one of stdout, not "file"'),
        (["errors {", "stack", "}"], "did you mean stacktrace?"),
        (["errors {", "stacktrace now", "}"], "takes no arguments"),
        (["errors {", "consolidate 5m", "}"], "takes 2 to 4 arguments, got 1"),
        (["errors {", "consolidate 0s .*", "}"], "longer than 0"),
        (["errors {", "consolidate 5 .*", "}"], "a duration has a unit"),
        (["errors {", 'consolidate 5m "("', "}"], "no regular expression"),
        (["errors {", f"consolidate 5m {'a' * (MAX_PATTERN + 1)}", "}"], "at most 10000 characters"),
        (["errors {", "consolidate 5m .* fatal", "}"], "one of warning, error, info, debug"),
        (["errors {", "consolidate 5m .* show_first warning", "}"], "one of warning"),
        (["errors", "errors"], "twice"),
    ],
)
def test_mistakes(lines, error):
    (found,) = mistakes(*lines, "whoami")
    assert error in found


def test_a_pattern_is_linear_in_its_text():
    """A backtracking engine needs 2^40 steps here."""
    written = consolidating('consolidate 1s "^(a+)+$"')
    written.fail("a" * 40 + "!", at=0)
    assert len(written.tick(0)) == 1

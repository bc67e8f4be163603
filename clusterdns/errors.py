"""The two families of errors: the client's fault, and ours.

Anything else that escapes is a bug: SERVFAIL for that query and one stack trace.
"""

from collections.abc import Iterable


class QueryError(Exception):
    """A packet the client got wrong. Never logged above debug.

    `rcode` is what the reply says; `question_end` is the offset behind the question when it could be
    read, so that even a FORMERR echoes it (some stubs wait out their timeout otherwise).
    """

    def __init__(self, rcode: int, reason: str, question_end: int = 0) -> None:
        super().__init__(reason)
        self.rcode = rcode
        self.question_end = question_end


class ClusterDNSError(Exception):
    """Something of ours failed: the text says what, and what to do."""


class UpstreamError(ClusterDNSError):
    """No upstream gave an answer; the query is answered with SERVFAIL."""


class SourceError(ClusterDNSError):
    """An object, or a file of objects, that cannot be used. The text names it and the field."""


class ConfigError(ClusterDNSError):
    """A mistake in a Corefile.

    `line` and `column` count from 1. `hint` says what to write instead, where that is known.
    """

    def __init__(self, message: str, file: str, line: int, column: int = 1, hint: str = "") -> None:
        self.message, self.file, self.line, self.column, self.hint = message, file, line, column, hint
        super().__init__(str(self))

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class ConfigErrors(ClusterDNSError):
    """Every mistake of one configuration, in the order of the file."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.file, error.line, error.column)))
        super().__init__("\n".join(str(error) for error in self.errors))

"""What was read to load a configuration, so that another process can load the same from the same bytes.

A configuration must not differ between processes because a file changed while they read it one after the other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec

from clusterdns.corefile.reader import Reader
from clusterdns.errors import ClusterDNSError


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a method said about its argument: a value, or the text of the error it raised."""

    method: str
    argument: str
    value: str | bool | list[str] | None
    error: str = ""


class Record(msgspec.Struct, frozen=True):
    """Every answer of one loading. Only the contents of files make its `digest`: they are what a user changes."""

    answers: tuple[_Answer, ...]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(raw: bytes) -> "Record":
        """Raises ClusterDNSError for what is no record."""
        try:
            return msgspec.msgpack.decode(raw, type=Record)
        except msgspec.MsgspecError as error:
            raise ClusterDNSError(f"no record of a configuration: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-512 over all texts, in the order in which they were read."""
        # OpenSSL is 2 MB, and the supervisor, which passes records on, asks for no digest
        import hashlib

        found = hashlib.sha512()
        for answer in self.answers:
            if answer.method in _CONTENTS:
                found.update(msgspec.msgpack.encode(answer))
        return found.hexdigest()

    def again(self, reader: Reader) -> "Record":
        """The same questions asked once more, as far as they are about files."""
        fresh, gone = Recorder(reader), set[str]()
        for answer in self.answers:
            if answer.method in _CONTENTS and answer.argument not in gone:
                now = fresh.note(answer.method, answer.argument)
                if isinstance(answer.value, list) and isinstance(now.value, list):
                    # That a pattern does not match a file any more is no error
                    gone |= {*answer.value} - {*now.value}
        return fresh.record()


# Which files there are and what is in them; names and interfaces are looked up only when a configuration is loaded
_CONTENTS = frozenset({"text", "exists", "glob"})


class _Asked(ABC):
    """A Reader whose every method is a question to `ask`."""

    @abstractmethod
    def ask(self, method: str, argument: str) -> Any:  # noqa: ANN401
        """The answer, or the error that the reader raised."""

    def text(self, path: str) -> str:
        return str(self.ask("text", path))

    def exists(self, path: str) -> bool:
        return bool(self.ask("exists", path))

    def glob(self, pattern: str) -> list[str]:
        return list(self.ask("glob", pattern))

    def env(self, name: str) -> str:
        return str(self.ask("env", name))

    def resolve(self, host: str) -> list[str]:
        return list(self.ask("resolve", host))

    def interface(self, name: str) -> list[str]:
        return list(self.ask("interface", name))

    def local_addresses(self) -> list[str]:
        return list(self.ask("local_addresses", ""))


class Recorder(_Asked):
    """Asks a reader, each question once, and remembers what it said."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._answers: dict[tuple[str, str], _Answer] = {}

    def ask(self, method: str, argument: str) -> Any:  # noqa: ANN401
        """Raises what the reader raises."""
        return _said(self.note(method, argument))

    def note(self, method: str, argument: str) -> _Answer:
        """As `ask`, and an error is an answer too."""
        answer = self._answers.get((method, argument))
        if answer is None:
            answer = self._answers[method, argument] = self._asked(method, argument)
        return answer

    def record(self) -> Record:
        return Record(tuple(self._answers.values()))

    def _asked(self, method: str, argument: str) -> _Answer:
        call: Callable[..., Any] = getattr(self._reader, method)
        try:
            return _Answer(method, argument, _legible(call(*(argument,) if method != "local_addresses" else ())))
        except ClusterDNSError as error:
            return _Answer(method, argument, None, str(error))


class Replay(_Asked):
    """Says what a record says."""

    def __init__(self, record: Record) -> None:
        self._answers = {(answer.method, answer.argument): answer for answer in record.answers}

    def ask(self, method: str, argument: str) -> Any:  # noqa: ANN401
        """Raises ClusterDNSError as the recorded reader did, and for a question that was not recorded."""
        answer = self._answers.get((method, argument))
        if answer is None:
            raise ClusterDNSError(f"{method} {argument}: was not read when this configuration was loaded first")
        return _said(answer)


def _legible(value: Any) -> Any:  # noqa: ANN401
    """Variables and names of files need not be UTF-8, what is passed on must be: the rest reads as question marks."""
    if isinstance(value, list):
        return [_legible(each) for each in value]
    return value.encode(errors="replace").decode() if isinstance(value, str) and not value.isascii() else value


def _said(answer: _Answer) -> Any:  # noqa: ANN401
    if answer.error:
        raise ClusterDNSError(answer.error)
    return answer.value

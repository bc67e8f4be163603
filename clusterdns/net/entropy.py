"""Unpredictable numbers for ids and ports (RFC 5452), drawn from the system in bulk."""

import os

# Octets fetched at a time: one system call for 2,048 numbers
_BULK = 4096


class Entropy:
    """16-bit numbers of the system's generator; each is used once."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: list[int] = []

    def word(self) -> int:
        """0 to 65535."""
        if not self._words:
            self._words = list(memoryview(os.urandom(_BULK)).cast("H"))
        return self._words.pop()

    def below(self, limit: int) -> int:
        """0 to `limit` - 1, for limits up to 65536, each as likely (numbers past the last multiple are drawn anew)."""
        edge = 65536 - 65536 % limit
        while (word := self.word()) >= edge:
            pass
        return word % limit

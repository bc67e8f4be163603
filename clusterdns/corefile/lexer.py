"""Corefile text to tokens. Each knows its place, and whether a line starts with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from clusterdns.errors import ConfigError

_PIECE = re.compile(
    r"""(?P<blank>\s+)
      | (?P<comment>\#[^\n]*)
      | "(?P<quoted>(?:[^"\\]++|\\.)*+)"
      | (?P<unclosed>"[^\n]*)
      | (?P<word>[^\s\#]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# The length is bounded so that a long run of "{%" costs linear time.
_VARIABLE = re.compile(r"\{%([^%}]{1,256})%\}|\{\$([^}]{1,256})\}")

# Characters of a token that a message repeats.
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Token:
    """One word or quoted text. `line` and `column` count from 1, columns in characters.

    `first`: a line starts with it. `quoted`: it stood in quotes, so a brace in it is text.
    """

    text: str
    file: str
    line: int
    column: int
    quoted: bool = False
    first: bool = False

    @property
    def shown(self) -> str:
        """The text as messages quote it: on one line, printable, and not too long."""
        text = self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "..."
        return '"' + "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text) + '"'

    @property
    def is_open(self) -> bool:
        """Is it the `{` of a block?"""
        return self.text == "{" and not self.quoted

    @property
    def is_close(self) -> bool:
        """Is it the `}` of a block?"""
        return self.text == "}" and not self.quoted

    def error(self, message: str, hint: str = "") -> ConfigError:
        """A mistake at this place."""
        return ConfigError(message, self.file, self.line, self.column, hint)


def tokenize(text: str, file: str, env: Callable[[str], str], errors: list[ConfigError]) -> list[Token]:
    """Tokens of `text` with `{$NAME}` and `{%NAME%}` replaced by `env(NAME)`.

    A quote that is never closed is added to `errors`; it then counts as closed at the end of its line.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    tokens: list[Token] = []
    line, line_start, first = 1, 0, True
    for match in _PIECE.finditer(text):
        kind, piece = match.lastgroup or "", match.group()
        if kind not in ("blank", "comment"):
            column = match.start() - line_start + 1
            token = Token(_value(kind, match[kind], env), file, line, column, kind != "word", first)
            tokens.append(token)
            if "\0" in token.text:
                errors.append(token.error("there is a NUL octet in this text", "remove it"))
            if kind == "unclosed":
                errors.append(token.error("this quote is never closed", 'end the text with "'))
            first = False
        if breaks := piece.count("\n"):
            first = first or kind == "blank"
            line, line_start = line + breaks, match.start() + piece.rindex("\n") + 1
    return tokens


def _value(kind: str, text: str, env: Callable[[str], str]) -> str:
    if kind == "unclosed":
        text = text[1:]
    if kind == "quoted":
        # A backslash before anything but a quote is itself: regular expressions need few escapes that way.
        text = _ESCAPE.sub(lambda pair: '"' if pair[1] == '"' else pair[0], text)
    return _VARIABLE.sub(lambda variable: env(variable[1] or variable[2]), text) if "{" in text else text

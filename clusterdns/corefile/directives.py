"""One line of a server block: a name, its arguments, and the lines in its braces."""

from dataclasses import dataclass

from clusterdns.corefile.lexer import Token


@dataclass(frozen=True, slots=True)
class Directive:
    """`name args... { block }`. `block` is None without braces; each of its lines is a directive in turn."""

    token: Token
    args: tuple[Token, ...] = ()
    block: "tuple[Directive, ...] | None" = None

    @property
    def name(self) -> str:
        return self.token.text

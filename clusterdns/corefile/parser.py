"""A Corefile to server blocks, with every mistake that can be told without knowing any directive."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.imports import Imports, is_import, is_snippet
from clusterdns.corefile.keys import Key, parse_key
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.reader import Reader
from clusterdns.corefile.tree import Node
from clusterdns.errors import ClusterDNSError, ConfigError, ConfigErrors

__all__ = ["Directive", "Key", "Parsed", "ServerBlock", "parse", "parse_text"]


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """The keys that share a block, and its directives as written. `file` and `line` are its first key's."""

    keys: tuple[Key, ...]
    directives: tuple[Directive, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a Corefile says. No blocks and no errors: it is empty.

    With errors the blocks are what could be understood: good for finding more mistakes, not for serving.
    """

    blocks: tuple[ServerBlock, ...]
    errors: tuple[ConfigError, ...]
    warnings: tuple[str, ...]


def parse(file: str, reader: Reader) -> Parsed:
    """Parse the Corefile at path `file`. Mistakes are collected, in the order of the text, never raised."""
    try:
        text = reader.text(file)
    except ClusterDNSError as error:
        return Parsed((), (ConfigError(str(error), file, 1),), ())
    return parse_text(text, file, reader)


def parse_text(text: str, file: str, reader: Reader) -> Parsed:
    """Parse a text as if it were the file `file`; imports are relative to its directory."""
    parser = _Parser(reader)
    for nodes in parser.imports.start(text, file):
        parser.read_servers(nodes)
    # A snippet that is used twice shows its mistakes twice.
    errors = {str(error): error for error in parser.errors}.values()
    return Parsed(tuple(parser.blocks), ConfigErrors(errors).errors, tuple(dict.fromkeys(parser.warnings)))


class _Parser:
    def __init__(self, reader: Reader) -> None:
        self.blocks: list[ServerBlock] = []
        self.errors: list[ConfigError] = []
        self.warnings: list[str] = []
        self.imports = Imports(reader, self.errors, self.warnings)

    def read_servers(self, nodes: Iterable[Node]) -> None:
        """Server blocks, snippets and imports outside of any block."""
        lines = deque(nodes)
        while lines:
            node = lines.popleft()
            if not node.head:
                self.errors.append(_stray(node))
            elif is_import(node):
                for imported in self.imports.expand(node):
                    self.read_servers(imported)
            else:
                self._read_block(_key_lines(node, lines), lines)

    def _read_block(self, node: Node, lines: deque[Node]) -> None:
        if is_snippet(node):
            self.imports.define(node)
            return
        start = node.start
        keys = tuple(self._keys(node.head))
        body = self._without_braces(start, lines) if node.body is None else node.body
        self.blocks.append(ServerBlock(keys, tuple(self._directives(body)), start.file, start.line))

    def _without_braces(self, start: Token, lines: deque[Node]) -> tuple[Node, ...]:
        """Without braces the directives go on to the end of the file."""
        body = []
        while lines and not lines[0].opens_server:
            body.append(lines.popleft())
        if lines:
            hint = f"with more than one block each needs braces: end line {start.line} with {{"
            self.errors.append(lines[0].start.error(f"{lines[0].start.shown} starts another server block", hint))
        return tuple(body)

    def _keys(self, head: tuple[Token, ...]) -> Iterator[Key]:
        for token in head:
            text = token.text.removesuffix(",")
            # A comma between blanks separates as well.
            if text or token.text != ",":
                try:
                    yield parse_key(replace(token, text=text))
                except ConfigError as error:
                    self.errors.append(error)
        if _goes_on(head):
            self.errors.append(head[-1].error("a key must follow the comma", "remove the last comma"))

    def _directives(self, nodes: Iterable[Node]) -> Iterator[Directive]:
        for node in nodes:
            if not node.head:
                self.errors.append(_stray(node))
            elif is_import(node):
                for imported in self.imports.expand(node):
                    yield from self._directives(imported)
            else:
                block = None if node.body is None else tuple(self._directives(node.body))
                yield Directive(node.head[0], node.head[1:], block)


def _key_lines(node: Node, lines: deque[Node]) -> Node:
    """Join what belongs to one server block: a line that ends in a comma goes on, and `{` may stand below."""
    while node.body is None and lines and (_goes_on(node.head) or not lines[0].head):
        below = lines.popleft()
        node = replace(below, head=node.head + below.head)
    return node


def _goes_on(head: tuple[Token, ...]) -> bool:
    return head[-1].text.endswith(",")


def _stray(node: Node) -> ConfigError:
    return node.start.error('stray "{"', "it must end the line of the directive or key it belongs to")

"""What `import` brings in: snippets and files, with bounds on both."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from clusterdns.corefile.lexer import Token, tokenize
from clusterdns.corefile.reader import Reader
from clusterdns.corefile.tree import Node, build
from clusterdns.errors import ClusterDNSError, ConfigError

# A ConfigMap holds at most 1 MiB: about 500,000 tokens of one character.
MAX_TOKENS = 500_000
# Ten times what CoreDNS expands; snippets that import each other twice grow as a power of two.
MAX_IMPORTS = 10_000
# Imports inside imports; keeps the recursion over them short.
MAX_DEPTH = 16

_NO_ARGUMENTS = "snippets take no arguments: write one import a line"


class _Source(NamedTuple):
    """The name of a snippet, or the path of a file."""

    name: str
    is_file: bool


@dataclass(frozen=True, slots=True)
class _Snippet:
    """`tokens` is the size of `nodes`; `token` is where it was defined."""

    token: Token
    nodes: tuple[Node, ...]
    tokens: int


class Imports:
    """The snippets defined so far, the files being read, and how much was spent on both."""

    def __init__(self, reader: Reader, errors: list[ConfigError], warnings: list[str]) -> None:
        self._reader, self._errors, self._warnings = reader, errors, warnings
        self._snippets: dict[str, _Snippet] = {}
        # Sources that are being expanded, the outermost first.
        self._chain: list[_Source] = []
        self._imports = self._tokens = 0

    def start(self, text: str, file: str) -> Iterator[tuple[Node, ...]]:
        """The lines of the file that everything begins with; its text is at hand."""
        at = Token(file, file, 1, 1)
        try:
            source = _Source(posixpath.normpath(file), True)
            yield from self._within(source, self._parsed(text, file, at))
        except ConfigError as error:
            self._errors.append(error)

    def define(self, node: Node) -> None:
        """Take a snippet, `(name) { ... }`."""
        token, name = node.head[0], node.head[0].text[1:-1]
        if node.body is None:
            self._errors.append(token.error(f"snippet {token.shown} has no braces", "write (name) { ... }"))
        elif known := self._snippets.get(name):
            hint = f"it is defined at {known.token.file}:{known.token.line}: rename one of them"
            self._errors.append(token.error(f"snippet {token.shown} is defined twice", hint))
        else:
            self._snippets[name] = self._snippet(name, node)

    def expand(self, node: Node) -> Iterator[tuple[Node, ...]]:
        """The lines of each source that an import names; the source counts as open until the next is asked for."""
        if self._is_spent():
            return
        try:
            name = _argument(node)
            known = name.text in self._snippets
            sources = [_Source(name.text, False)] if known else self._files(name)
        except ConfigError as error:
            self._errors.append(error)
            return
        for source in sources:
            try:
                nodes = self._enter(source, name)
            except ConfigError as error:
                self._errors.append(error)
            else:
                yield from self._within(source, nodes)

    def _within(self, source: _Source, nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
        self._chain.append(source)
        yield nodes
        self._chain.pop()

    def _snippet(self, name: str, definition: Node) -> _Snippet:
        """A snippet that imports itself is found here, used or not, and then counts as empty."""
        token, body = definition.head[0], definition.body or ()
        nodes = [node for child in body for node in child.walk()]
        for node in nodes:
            if is_import(node) and [arg.text for arg in node.head[1:]] == [name]:
                hint = f"remove the import of line {node.start.line}"
                self._errors.append(definition.end.error(f"import: snippet {token.shown} imports itself", hint))
                return _Snippet(token, (), 0)
        return _Snippet(token, body, sum(len(node.head) for node in nodes))

    def _files(self, name: Token) -> list[_Source]:
        """Paths that the argument of an import names, relative to the file it stands in."""
        pattern = name.text
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name.file), pattern))
        # One of each, as in CoreDNS: a pattern of many wildcards can match for very long.
        if max(pattern.count("*"), pattern.count("?")) > 1 or ("[" in pattern and "]" in pattern):
            raise name.error(f"import: {name.shown} has too many wildcards", "one * is enough for a directory")
        if not any(char in pattern for char in "*?"):
            return [_Source(path, True)]
        matches = [_Source(match, True) for match in self._reader.glob(path)]
        if not matches:
            place = f"{name.file}:{name.line}:{name.column}"
            self._warnings.append(f"{place}: no files match import glob pattern {name.shown}")
        return matches

    def _enter(self, source: _Source, name: Token) -> tuple[Node, ...]:
        """Nodes of one source, counted.  Raises ConfigError at `name` if it must not or cannot be had."""
        if source in self._chain:
            circle = [*self._chain[self._chain.index(source) :], source]
            way = " -> ".join(link.name for link in circle)
            raise name.error(f"import: {name.shown} imports itself ({way})", "break the circle")
        if len(self._chain) > MAX_DEPTH:
            raise name.error(f"import: more than {MAX_DEPTH} imports inside each other", "import it directly")
        self._imports += 1
        if self._imports > MAX_IMPORTS:
            raise name.error(f"import: more than {MAX_IMPORTS} imports", "does a snippet import another many times?")
        if source.is_file:
            return self._parsed(self._read(source.name, name), source.name, name)
        snippet = self._snippets[source.name]
        self._spend(snippet.tokens, name)
        return snippet.nodes

    def _read(self, path: str, name: Token) -> str:
        try:
            return self._reader.text(path)
        except ClusterDNSError as error:
            by_name = posixpath.basename(path) == posixpath.basename(name.text)
            hint = f"no snippet ({name.text}) is defined above, so it is taken as a file" if by_name else ""
            raise name.error(f"import: {error}", hint) from error

    def _parsed(self, text: str, file: str, at: Token) -> tuple[Node, ...]:
        tokens = tokenize(text, file, self._reader.env, self._errors)
        self._spend(len(tokens), at)
        return build(tokens, self._errors)

    def _spend(self, tokens: int, at: Token) -> None:
        self._tokens += tokens
        if self._tokens > MAX_TOKENS:
            raise at.error(f"the configuration has more than {MAX_TOKENS} words", "split it among servers")

    def _is_spent(self) -> bool:
        """Was a bound passed? It was reported then, once."""
        return self._imports > MAX_IMPORTS or self._tokens > MAX_TOKENS


def is_import(node: Node) -> bool:
    """Is the line an `import`?"""
    return bool(node.head) and node.head[0].text == "import"


def is_snippet(node: Node) -> bool:
    """Is the line the head of a snippet, `(name)` alone?"""
    return len(node.head) == 1 and node.head[0].text.startswith("(") and node.head[0].text.endswith(")")


def _argument(node: Node) -> Token:
    """The one argument of an import.  Raises ConfigError if there is none, or anything else."""
    start, *args = node.head
    if node.brace:
        raise node.brace.error("import: takes no block", "remove the braces")
    if not args or not args[0].text:
        hint = "write import NAME, a snippet or a file; a variable that is not set reads as empty"
        raise (args or [start])[0].error("import: takes 1 argument, got none", hint)
    if len(args) > 1:
        raise args[1].error(f"import: takes 1 argument, got {len(args)}", _NO_ARGUMENTS)
    return args[0]

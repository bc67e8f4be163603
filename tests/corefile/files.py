"""A Reader that serves files and variables from dicts, and counts what it is asked."""

from collections.abc import Mapping
from fnmatch import fnmatch

from clusterdns.corefile.parser import Parsed, parse_text
from clusterdns.errors import ClusterDNSError


class Files:
    """`files`: path -> text, `variables`: name -> value. `reads` counts the files that were opened."""

    def __init__(self, files: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None) -> None:
        self.files, self.variables = files or {}, variables or {}
        self.reads = 0

    def text(self, path: str) -> str:
        self.reads += 1
        if path not in self.files:
            raise ClusterDNSError(f"{path}: no such file")
        return self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files

    def glob(self, pattern: str) -> list[str]:
        return sorted(path for path in self.files if fnmatch(path, pattern))

    def env(self, name: str) -> str:
        return self.variables.get(name, "")

    def resolve(self, host: str) -> list[str]:
        return []

    def interface(self, name: str) -> list[str]:
        return []

    def local_addresses(self) -> list[str]:
        return []


def parsed(text: str, files: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None) -> Parsed:
    """`text` as the file /etc/dns/Corefile among `files`."""
    return parse_text(text, "/etc/dns/Corefile", Files(files, variables))


def outline(result: Parsed) -> list[tuple[list[str], list[object]]]:
    """Keys and directives of each block; a directive is its words, followed by the list of its block if any."""
    return [([key.token.text for key in block.keys], _lines(block.directives)) for block in result.blocks]


def places(result: Parsed) -> list[tuple[int, int]]:
    """Line and column of each error."""
    return [(error.line, error.column) for error in result.errors]


def _lines(directives) -> list[object]:
    lines: list[object] = []
    for directive in directives:
        lines.append(" ".join([directive.name, *(arg.text for arg in directive.args)]))
        if directive.block is not None:
            lines.append(_lines(directive.block))
    return lines

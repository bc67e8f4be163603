"""The files behind `manifests PATH...`, in the order in which they count."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from clusterdns.errors import SourceError

# Bytes of one file: 100,000 endpoints are 35 MB of JSON, so that more is a wrong file
MAX_BYTES = 256 * 1024 * 1024
# Files and directories together, each costs a stat per scan; a PATH of `/` has to end too.
MAX_ENTRIES = 10_000

_SUFFIXES = (".yaml", ".yml", ".json")
_ADVICE = {
    errno.ENOENT: "create it, or correct the path",
    errno.EACCES: "give the user of the server permission to read it",
}

# mtime in ns, size in bytes, inode: one of them changes with the content
Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """A regular file (with signature), a directory (without), or what cannot be read (with the trouble)."""

    path: str
    signature: Signature | None = None
    trouble: str = ""


def walk(paths: Iterable[str]) -> list[Seen]:
    """Every file and directory, those of a directory sorted by name; nothing hidden, links followed. Never raises."""
    seen = list(islice(chain.from_iterable(map(_walk, paths)), MAX_ENTRIES + 1))
    if len(seen) > MAX_ENTRIES:
        path = seen.pop().path
        trouble = f"{shown(path)}: this and what follows is not read: more than {MAX_ENTRIES} files; name fewer"
        seen.append(Seen(path, trouble=trouble))
    return seen


def content(seen: Seen) -> bytes | None:
    """The file's bytes; None if it changed meanwhile.  Raises SourceError `PATH: cannot be read: ...`."""
    try:
        with open(seen.path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
            same = _signature(os.fstat(file.fileno())) == seen.signature
    except OSError as error:
        raise SourceError(_unreadable(seen.path, error)) from error
    return raw if same else None


def shown(path: str) -> str:
    """A path for a message: a file name may hold line breaks, and bytes that are no text."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def _walk(root: str) -> Iterator[Seen]:
    # Device and inode of each directory: links may lead back to one.
    entered: set[tuple[int, int]] = set()
    todo = [root]
    while todo:
        path = todo.pop()
        try:
            found = os.stat(path)
            if not stat.S_ISDIR(found.st_mode):
                yield _file(path, found)
            elif (found.st_dev, found.st_ino) not in entered:
                entered.add((found.st_dev, found.st_ino))
                todo += reversed(_children(path))
                yield Seen(path)
        except OSError as error:
            yield Seen(path, trouble=_unreadable(path, error))


def _children(path: str) -> list[str]:
    # `..data` and `..2026_01_31` of a mounted ConfigMap are hidden: its files are links into them.
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    children = [os.path.join(path, name) for name in names]
    return [child for child in children if child.endswith(_SUFFIXES) or os.path.isdir(child)]


def _file(path: str, found: os.stat_result) -> Seen:
    # Opening a pipe would wait for its writer
    if not stat.S_ISREG(found.st_mode):
        return Seen(path, trouble=f"{shown(path)}: is neither a file nor a directory; name one of them")
    if found.st_size > MAX_BYTES:
        return Seen(path, trouble=f"{shown(path)}: is larger than {MAX_BYTES >> 20} MiB; split it")
    return Seen(path, _signature(found))


def _signature(found: os.stat_result) -> Signature:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unreadable(path: str, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0, "check the path and its file system")
    return f"{shown(path)}: cannot be read: {error.strerror}; {advice}; what was read from it before stays"

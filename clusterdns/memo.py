"""The fast path: a bounded memo of what the chain made, in which an entry knows what it was made from.

Two generations: a hit in `old` moves to `young`; a full `young` becomes `old`. So a flood of new names costs no more
than two generations of memory and needs two of them to push out a name that is asked for. The index from what was
read to who read it lives and dies with its generation.

The key is made of the packet's own octets, so a hit parses nothing: name in lower case, type, class, the flags RD, AD
and CD, and whether there is an OPT record with DO set or not. Payload sizes, options and spelling are not in it.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from clusterdns.wire.encode import Run

# Entries and octets of replies in one generation. 20,000 entries cover the names of a large cluster; replies are
# 150 octets on average, and the byte bound is for the few large ones.
MAX_ENTRIES = 20_000
MAX_BYTES = 8 * 1024 * 1024

# What was read: a store (by its number) and keys in it
Reads = tuple[int, list[bytes]]

# An OPT record without options; the TC bit in the first octet of the flags
_OPT_SIZE, _TC = 11, 0x02

# Octets that the index needs for one key that an entry read
_READ = 64

# Flags and counts of the packets that can be looked up without parsing: opcode QUERY, one question, no OPT or only an
# OPT record. Bits that a client has no business to set (AA, RA, Z, RCODE) send a packet the slow way.
_FLAGS = [bytes((rd, bits)) for rd in (0, 1) for bits in (0x00, 0x10, 0x20, 0x30)]
PLAIN = frozenset(flags + b"\0\1\0\0\0\0\0\0" for flags in _FLAGS)
WITH_OPT = {flags + b"\0\1\0\0\0\0\0\1": flags for flags in _FLAGS}


class Entry(msgspec.Struct, gc=False):
    """One reply. `head`: flags and counts; `body`: what follows the question; `ending`: type and class of the question;
    `size`: of the whole message; `owner`: whatever the one who made it wants to know again on a hit.

    `special`: it must be looked at before it is sent: it has records to rotate, may be too large for a client, or
    is observed.
    """

    head: bytes
    body: bytes
    cell: int
    special: bool
    ending: bytes
    size: int
    reads: list[Reads]
    owner: Any
    runs: tuple[Run, ...] = ()
    turn: int = 0

    def rotated(self) -> bytes:
        """The body with each run of records turned by one more than last time."""
        self.turn += 1
        body = self.body
        for run in self.runs:
            cut, end = run.start + self.turn % run.count * run.size, run.start + run.count * run.size
            body = body[: run.start] + body[cut:end] + body[run.start : cut] + body[end:]
        return body

    def cut(self, question: int, limit: int) -> tuple[bytes, bytes] | None:
        """Head and body with as many of its records, in their turn, as fit into `limit` octets, TC set; the question
        has `question` octets. None for a reply that is more than one run and an OPT record: the encoder cuts that."""
        run, end = self.runs[0], self.runs[0].start + self.runs[0].count * self.runs[0].size
        opt = self.body[end:]
        if len(self.runs) > 1 or run.start or len(opt) not in (0, _OPT_SIZE):
            return None
        fit = (limit - 12 - question - len(opt)) // run.size
        counts = fit.to_bytes(2, "big") + self.head[6:]
        return bytes((self.head[0] | _TC,)) + self.head[1:4] + counts, self.rotated()[: fit * run.size] + opt


class _Generation:
    __slots__ = ("entries", "puts", "readers", "size")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        # Store and key in it -> the memo's keys that were made from it
        self.readers: defaultdict[int, defaultdict[bytes, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        # What was ever entered counts, not what is left: the index keeps what was dropped until the generation ends
        self.puts = self.size = 0


class Memo:
    """`young` and `old` map keys to entries; a hit that is not in `young` goes through `promote`."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self.dropped = 0
        self.clear()

    def clear(self) -> None:
        self._young, self._old = _Generation(), _Generation()
        self.young, self.old = self._young.entries, self._old.entries

    def promote(self, key: bytes) -> Entry | None:
        """The entry of a key that is not in `young`: it is from now on."""
        found = self.old.get(key)
        if found is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, entry: Entry) -> None:
        """Enter a reply under its key."""
        young = self._young
        if young.puts >= self._max_entries or young.size >= self._max_bytes:
            self._old, self._young = young, _Generation()
            young = self._young
            self.young, self.old = young.entries, self._old.entries
        young.entries[key] = entry
        young.puts += 1
        young.size += entry.size
        for store, reads in entry.reads:
            # A reference here and one in the entry
            young.size += _READ * len(reads)
            readers = young.readers[store]
            for read in reads:
                readers[read].append(key)

    def drop(self, store: int, keys: Iterable[bytes]) -> None:
        """Forget every entry that read one of `keys` of that store."""
        for generation in (self._young, self._old):
            readers, entries = generation.readers.get(store), generation.entries
            if not readers:
                continue
            for key in keys:
                for reader in readers.pop(key, ()):
                    self.dropped += entries.pop(reader, None) is not None

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

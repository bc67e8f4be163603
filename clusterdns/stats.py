"""Counters: one cell for each combination of labels, made when it is first needed, then counted by index.

Cells live in memory that may outlive the process that counts: whoever comes after it finds labels and counts and goes
on with them.
"""

import msgspec


class Labels(msgspec.Struct, frozen=True, array_like=True):
    """What a reply is counted under."""

    zone: bytes
    protocol: str
    qtype: int
    rcode: int
    memo: bool


class Cells:
    """A cell is an index into `counts`; whoever counts often keeps the index.

    `memory`: `SIZE` octets, zero at first: octets of labels that follow (8), counts (8 each), then the labels, each
    behind its length (2).
    """

    # Label values come from the network (types) and the configuration (zones). More combinations than this can only
    # be made by somebody asking for every type there is: they share the last cell.
    LIMIT = 4096
    # A zone has up to 255 octets; 4,096 of the usual 40 are less than this
    _LABELS = 256 * 1024
    SIZE = 8 + 8 * LIMIT + _LABELS

    def __init__(self, memory: memoryview | None = None) -> None:
        memory = memoryview(bytearray(self.SIZE)) if memory is None else memory
        self._used = memory[:8].cast("Q")
        self.counts = memory[8 : 8 + 8 * self.LIMIT].cast("Q")
        self._memory = memory[8 + 8 * self.LIMIT : self.SIZE]
        self.labels = self._found()
        self._index = {labels: index for index, labels in enumerate(self.labels)}

    def cell(self, labels: Labels) -> int:
        """The index for these labels."""
        index = self._index.get(labels)
        if index is None:
            raw, used = msgspec.msgpack.encode(labels), self._used[0]
            if len(self.labels) >= self.LIMIT - 1 or used + 2 + len(raw) > self._LABELS:
                return self.LIMIT - 1
            self._memory[used : used + 2 + len(raw)] = len(raw).to_bytes(2, "big") + raw
            self._used[0] = used + 2 + len(raw)
            index = self._index[labels] = len(self.labels)
            self.labels.append(labels)
        return index

    def total(self, memo: bool | None = None) -> int:
        """All replies, or those that the memo gave (True) or did not (False)."""
        if memo is None:
            return sum(self.counts)
        return sum(self.counts[index] for index, labels in enumerate(self.labels) if labels.memo is memo)

    def _found(self) -> list[Labels]:
        """The labels that are in the memory already."""
        found, at = [], 0
        while at < self._used[0]:
            size = int.from_bytes(self._memory[at : at + 2], "big")
            found.append(msgspec.msgpack.decode(self._memory[at + 2 : at + 2 + size], type=Labels))
            at += 2 + size
        return found

"""Counters: one cell for each combination of labels, made when it is first needed, then counted by index."""

import msgspec


class Labels(msgspec.Struct, frozen=True):
    """What a reply is counted under."""

    zone: bytes
    protocol: str
    qtype: int
    rcode: int
    memo: bool


class Cells:
    """A cell is an index into `counts`; whoever counts often keeps the index."""

    # Label values come from the network (types) and the configuration (zones). More combinations than this can only
    # be made by somebody asking for every type there is: they share the last cell.
    LIMIT = 4096

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.labels: list[Labels] = []
        self._index: dict[Labels, int] = {}

    def cell(self, labels: Labels) -> int:
        """The index for these labels."""
        index = self._index.get(labels)
        if index is None:
            if len(self.counts) >= self.LIMIT:
                return self.LIMIT - 1
            index = self._index[labels] = len(self.counts)
            self.counts.append(0)
            self.labels.append(labels)
        return index

    def total(self, memo: bool | None = None) -> int:
        """All replies, or those that the memo gave (True) or did not (False)."""
        pairs = zip(self.labels, self.counts, strict=True)
        return sum(count for labels, count in pairs if memo is None or labels.memo is memo)

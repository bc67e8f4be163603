"""Which Services own an address: the index behind PTR answers.

Nearly every address has one owner that names it once, and is then kept as that owner's key alone: a mapping per
address would cost 100,000 endpoints 20 MB.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping


class AddressIndex:
    """Packed address -> keys of the Services that hold it, each with a count."""

    def __init__(self) -> None:
        self._owners: dict[bytes, bytes | dict[bytes, int]] = {}
        # The addresses of each length (4 or 16) in order, for partial reverse names. Built when first needed,
        # then kept by insertion; None after a bulk load began.
        self._ordered: dict[int, list[bytes]] | None = None

    def add(self, address: bytes, owner: bytes) -> bool:
        """Count `owner` up; True if the address is new."""
        known = self._owners.get(address)
        if known is None:
            self._owners[address] = owner
            if self._ordered is not None:
                insort(self._ordered[len(address)], address)
            return True
        counts = {known: 1} if isinstance(known, bytes) else known
        counts[owner] = counts.get(owner, 0) + 1
        self._owners[address] = counts
        return False

    def remove(self, address: bytes, owner: bytes) -> bool:
        """Count `owner` down; True if the address is gone."""
        known = self._owners[address]
        if isinstance(known, dict):
            known[owner] -= 1
            if not known[owner]:
                del known[owner]
            if list(known.values()) == [1]:
                self._owners[address] = next(iter(known))
            return False
        del self._owners[address]
        if self._ordered is not None:
            ordered = self._ordered[len(address)]
            del ordered[bisect_left(ordered, address)]
        return True

    def owners(self, address: bytes) -> list[bytes]:
        """Keys of the Services with this address, in order."""
        known = self._owners.get(address)
        if known is None:
            return []
        return [known] if isinstance(known, bytes) else sorted(known)

    def any_between(self, low: bytes, high: bytes) -> bool:
        """Is there an address of the length of `low` from `low` to `high`, both included?"""
        if self._ordered is None:
            self._ordered = {size: sorted(a for a in self._owners if len(a) == size) for size in (4, 16)}
        ordered = self._ordered[len(low)]
        at = bisect_left(ordered, low)
        return at < len(ordered) and ordered[at] <= high

    def forget_order(self) -> None:
        """A bulk load begins: sort once afterwards instead of inserting one by one."""
        self._ordered = None

    def snapshot(self) -> Mapping[bytes, bytes | dict[bytes, int]]:
        """For tests: the index as it is."""
        return self._owners

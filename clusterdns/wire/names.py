"""Domain names as uncompressed wire bytes: `b"\\x03svc\\x05local\\x00"`.

A name is `bytes` in lower case throughout the server. Length octets (0..63) are below every letter, so
`.lower()` and suffix comparison work on the wire form, and a name of any bytes (RFC 2181 section 11) fits.
"""

import ipaddress
from collections.abc import Iterable

# RFC 1035 2.3.4
MAX_NAME = 255
MAX_LABEL = 63
ROOT = b"\0"

V4_SUFFIX = b"\x07in-addr\x04arpa\0"
V6_SUFFIX = b"\x03ip6\x04arpa\0"
_HEX = b"0123456789abcdef"


def from_labels(labels: list[bytes]) -> bytes:
    """Labels from left to right -> name.  Raises ValueError for an empty or long label or name."""
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL:
            raise ValueError(f"a label has 1 to {MAX_LABEL} octets, not {len(label)}")
    name = b"".join(bytes((len(label),)) + label for label in labels) + ROOT
    if len(name) > MAX_NAME:
        raise ValueError(f"a name has at most {MAX_NAME} octets, not {len(name)}")
    return name.lower()


def from_text(text: str) -> bytes:
    """`svc.cluster.local.` (trailing dot optional, RFC 1035 5.1 escapes) -> name.  Raises ValueError."""
    if text in ("", "."):
        return ROOT
    labels = [bytearray()]
    raw = text.encode("utf-8", "surrogateescape")
    at = 0
    while at < len(raw):
        octet = raw[at]
        at += 1
        if octet == 0x2E:
            labels.append(bytearray())
            continue
        if octet == 0x5C:
            digits = raw[at : at + 3]
            if len(digits) == 3 and digits.isdigit() and int(digits) < 256:
                octet, at = int(digits), at + 3
            elif at < len(raw):
                octet, at = raw[at], at + 1
        labels[-1].append(octet)
    if not labels[-1]:
        labels.pop()
    return from_labels([bytes(label) for label in labels])


def to_labels(name: bytes) -> list[bytes]:
    """Name -> labels from left to right, without the root."""
    labels, at = [], 0
    while length := name[at]:
        labels.append(name[at + 1 : at + 1 + length])
        at += 1 + length
    return labels


def starts(name: bytes) -> list[int]:
    """Offset of each label, the root label last: `starts(ROOT) == [0]`."""
    offsets, at = [0], 0
    while length := name[at]:
        at += 1 + length
        offsets.append(at)
    return offsets


def skip(wire: bytes, at: int) -> int:
    """Offset behind the possibly compressed name at `at`, 0 for one that is malformed or breaks off. Pointers are not
    followed, so the steps are bounded."""
    first = at
    while at < len(wire) and at - first <= MAX_NAME:
        length = wire[at]
        if length >= 0xC0:
            return at + 2
        if not length:
            return at + 1
        if length > MAX_LABEL:
            break
        at += 1 + length
    return 0


def to_text(name: bytes) -> str:
    """Name -> `svc.cluster.local.`; octets outside printable ASCII as `\\DDD` (RFC 1035 5.1, RFC 4343)."""
    return "".join(_label_text(label) + "." for label in to_labels(name)) or "."


def _label_text(label: bytes) -> str:
    return "".join(
        f"\\{octet:03d}" if octet <= 0x20 or octet >= 0x7F else ("\\" if octet in b'.\\"();@$' else "") + chr(octet)
        for octet in label
    )


def is_below(name: bytes, zone: bytes) -> bool:
    """Is `name` equal to `zone` or below it (on a label boundary)?"""
    if not name.endswith(zone):
        return False
    edge, at = len(name) - len(zone), 0
    while at < edge:
        at += 1 + name[at]
    return at == edge


class ZoneSet:
    """Zones to find the longest enclosing one among: a lookup for each count of labels that some zone has."""

    __slots__ = ("_depths", "_zones")

    def __init__(self, zones: Iterable[bytes]) -> None:
        self._zones = frozenset(zones)
        self._depths = sorted({len(starts(zone)) for zone in self._zones}, reverse=True)

    def left_of(self, name: bytes, offsets: tuple[int, ...]) -> int | None:
        """How many labels of `name` are left of the longest zone that encloses it; None where none does."""
        count = len(offsets)
        for depth in self._depths:
            if depth <= count and name[offsets[count - depth] :] in self._zones:
                return count - depth
        return None


def is_reverse(zone: bytes) -> bool:
    """Does the zone hold addresses (RFC 1035 3.5, RFC 3596 2.5)?"""
    return is_below(zone, V4_SUFFIX) or is_below(zone, V6_SUFFIX)


def from_address(packed: bytes) -> bytes:
    """4 or 16 octets -> their reverse name."""
    if len(packed) == 4:
        labels = [str(octet).encode() for octet in reversed(packed)]
        return from_labels(labels)[:-1] + V4_SUFFIX
    nibbles = packed.hex().encode()
    return b"".join(b"\x01" + nibbles[at : at + 1] for at in range(31, -1, -1)) + V6_SUFFIX


def address_digits(name: bytes) -> list[int] | None:
    """Reverse name -> its octets (v4) or nibbles (v6), the most significant first; None for other names."""
    if is_below(name, V4_SUFFIX):
        octets = [_octet(label) for label in to_labels(name)[-3::-1]]
        return None if len(octets) > 4 or None in octets else [octet for octet in octets if octet is not None]
    if is_below(name, V6_SUFFIX):
        labels = to_labels(name)[-3::-1]
        if len(labels) > 32 or any(len(label) != 1 or label not in _HEX for label in labels):
            return None
        return [_HEX.index(label) for label in labels]
    return None


def _octet(label: bytes) -> int | None:
    """`b"10"` -> 10; None for leading zeros, signs and anything above 255."""
    if not label.isdigit() or len(label) > 3 or (label[0] == 0x30 and len(label) > 1):
        return None
    return value if (value := int(label)) < 256 else None


def reverse_zones(network: str) -> list[bytes]:
    """`10.96.0.0/12` -> the reverse zones that cover it, on octet (v4) or nibble (v6) limits.

    Host bits are ignored, as CoreDNS does.  Raises ValueError when `network` is no CIDR.
    """
    net = ipaddress.ip_network(network, strict=False)
    step = 8 if net.version == 4 else 4
    length = -(-net.prefixlen // step) * step
    zones = []
    for part in net.subnets(new_prefix=length):
        full = from_address(part.network_address.packed)
        skip = (part.max_prefixlen - length) // step
        zones.append(full[starts(full)[skip] :])
    return zones

"""Numbers of the IANA DNS parameters registry that this server treats by name."""

from enum import IntEnum


class RCode(IntEnum):
    """RFC 1035 4.1.1, RFC 2136, RFC 6891 (BADVERS needs the OPT record's upper bits)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    YXRRSET = 7
    NXRRSET = 8
    NOTAUTH = 9
    NOTZONE = 10
    BADVERS = 16


class Opcode(IntEnum):
    QUERY = 0
    NOTIFY = 4


class Type(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    NAPTR = 35
    DNAME = 39
    OPT = 41
    DS = 43
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    NSEC3 = 50
    SVCB = 64
    HTTPS = 65
    IXFR = 251
    AXFR = 252
    ANY = 255
    CAA = 257


class Class(IntEnum):
    IN = 1
    CH = 3
    HS = 4
    ANY = 255


class Option(IntEnum):
    """EDNS options (RFC 6891 6.1.2) that a plugin or a transport may look at."""

    NSID = 3
    SUBNET = 8
    COOKIE = 10
    TCP_KEEPALIVE = 11
    PADDING = 12
    EDE = 15


def type_text(number: int) -> str:
    """`A`, or `TYPE65534` for a type without a name here (RFC 3597 section 5)."""
    try:
        return Type(number).name
    except ValueError:
        return f"TYPE{number}"


def class_text(number: int) -> str:
    """`IN`, or `CLASS42` (RFC 3597 section 5)."""
    try:
        return Class(number).name
    except ValueError:
        return f"CLASS{number}"


def rcode_text(number: int) -> str:
    """`NXDOMAIN`, or `RCODE23`."""
    try:
        return RCode(number).name
    except ValueError:
        return f"RCODE{number}"

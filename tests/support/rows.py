"""The conformance rows of tests/conformance and the query each of them sends.

The notation is that of tests/conformance/README.md; differences.py judges the replies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import yaml

CONFORMANCE = Path(__file__).parent.parent / "conformance"

# Any will do: the reply must carry the same.
QUERY_ID = 0x4D2

SECTIONS = ("answer", "authority", "additional")


@dataclass(frozen=True, slots=True)
class Options:
    """How a query is sent. `edns` is the UDP payload in octets, None: no OPT. `src`: the client's address."""

    src: str = "127.0.0.1"
    tcp: bool = False
    edns: int | None = None
    do: bool = False
    rd: bool = True
    cd: bool = False
    cls: str = "IN"
    option: str | None = None

    @property
    def has_opt(self) -> bool:
        """Does the query carry an OPT record?"""
        return self.edns is not None or self.do or self.option is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One query of kubernetes.yaml or chain.yaml and the reply it must get.

    A section is None when only its count is given. `differs` says why CoreDNS answers otherwise.
    """

    id: str
    setup: str
    name: str
    rdtype: str
    rcode: str
    opts: Options
    aa: bool | None
    tc: bool | None
    sections: Mapping[str, tuple[str, ...] | None]
    counts: Mapping[str, int]
    differs: str


@dataclass(frozen=True, slots=True)
class PacketRow:
    """One raw UDP datagram of protocol.yaml; `rcode` None: there must be no reply."""

    id: str
    what: str
    query: bytes
    rcode: str | None
    opcode: int


@dataclass(frozen=True, slots=True)
class CorefileRow:
    """One Corefile of corefiles.yaml; `line` is where its error must point, None where that is open."""

    id: str
    what: str
    corefile: str
    ok: bool
    line: int | None


def setups() -> dict[str, str]:
    """Corefile of each setup by its name, placeholders and port 53 as they stand."""
    return dict(_load("setups"))


def corefile(template: str, source: str = "", upstream: str = "", hosts_file: str = "", port: int = 53) -> str:
    """A setup's Corefile with its placeholders filled and its servers on `port`.

    `source` is a directive of the kubernetes block, `manifests DIR`; `upstream` is HOST:PORT.
    """
    moved = re.sub(r":53(?=\s)", f":{port}", template)
    filled = {"@SOURCE@": source, "@UPSTREAM@": upstream, "@HOSTSFILE@": hosts_file}
    return re.sub(r"@[A-Z]+@", lambda placeholder: filled[placeholder[0]], moved)


def query_rows() -> list[Row]:
    """The rows of kubernetes.yaml, then those of chain.yaml."""
    return [_row(entry) for file in ("kubernetes", "chain") for entry in _load(file)]


def packet_rows() -> list[PacketRow]:
    """The rows of protocol.yaml."""
    return [
        PacketRow(row["id"], row["what"], bytes.fromhex(row["query_hex"]), row.get("rcode"), row.get("opcode", 0))
        for row in _load("protocol")
    ]


def corefile_rows() -> list[CorefileRow]:
    """The rows of corefiles.yaml."""
    return [
        CorefileRow(row["id"], row["what"], row["corefile"], row["ok"], row.get("line")) for row in _load("corefiles")
    ]


def query_bytes(row: Row) -> bytes:
    """The packet a row's client sends, without the length prefix of TCP."""
    opts = row.opts
    flags = (dns.flags.RD if opts.rd else 0) | (dns.flags.CD if opts.cd else 0)
    query = dns.message.make_query(row.name, row.rdtype, opts.cls, id=QUERY_ID, flags=flags)
    if opts.has_opt:
        options: list[dns.edns.Option] = []
        if opts.option:
            options.append(dns.edns.GenericOption(dns.edns.OptionType[opts.option], b""))
        payload = 1232 if opts.edns is None else opts.edns
        query.use_edns(0, dns.flags.DO if opts.do else 0, payload, options=options)
    return query.to_wire()


def _load(file: str) -> Any:
    return yaml.safe_load((CONFORMANCE / f"{file}.yaml").read_text())


def _row(entry: Mapping[str, Any]) -> Row:
    counts = {section: entry[f"{section}_count"] for section in SECTIONS if f"{section}_count" in entry}
    sections = {section: None if section in counts else tuple(entry.get(section, ())) for section in SECTIONS}
    name, rdtype = entry["q"]
    return Row(
        entry["id"],
        entry["setup"],
        name,
        rdtype,
        entry["rcode"],
        Options(**entry.get("opts", {})),
        entry.get("aa"),
        entry.get("tc"),
        sections,
        counts,
        entry.get("differs", ""),
    )

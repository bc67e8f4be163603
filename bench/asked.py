"""A query as the clients get it: ready to send, so that they need no DNS library, which would take long to import."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# Lost queries and wrong replies that a report shows; the rest is counted
SHOWN = 100
# The first label of a name that is to be another one each time
COUNTED = "00000000"
_HEADER = 12


@dataclass(frozen=True, slots=True)
class Asked:
    """`wire` in hexadecimal, as one question and nothing after it; the id is the client's."""

    name: str
    wire: str
    rcode: int
    answers: int

    def packet(self, identity: int) -> bytes:
        return identity.to_bytes(2) + bytes.fromhex(self.wire)[2:]

    def counted(self, number: int) -> "Asked":
        """The same with this number in the place of COUNTED, if it has one."""
        if not self.name.startswith(COUNTED):
            return self
        label = f"{number:08x}"
        wire = self.wire.replace(COUNTED.encode().hex(), label.encode().hex())
        return replace(self, name=label + self.name.removeprefix(COUNTED), wire=wire)

    def complaint(self, reply: bytes) -> str:
        """What is wrong with a reply, but for its id: empty for nothing."""
        question = bytes.fromhex(self.wire)[_HEADER:]
        if reply[_HEADER : _HEADER + len(question)] != question:
            return f"{self.name}: a reply to another question"
        rcode, answers = reply[3] & 15, int.from_bytes(reply[6:8])
        return (
            "" if (rcode, answers) == (self.rcode, self.answers) else f"{self.name}: RCODE {rcode}, {answers} answers"
        )


def write(path: Path, queries: list[Asked]) -> None:
    path.write_text(json.dumps([asdict(query) for query in queries]))


def read(path: Path) -> list[Asked]:
    return [Asked(**row) for row in json.loads(path.read_text())]

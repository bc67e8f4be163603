"""`log`: formats, classes, zones, and names that try to be syntax."""

import dns.message
import pytest

from clusterdns.plugins.base import Outcome, Peer
from clusterdns.plugins.log import Verdict, verdict
from tests.plugins.blocks import PEER, block, configured, mistakes, outcome, served
from tests.support.inprocess import InProcess

COMMON = '192.0.2.7:40000 - 1234 "A IN x.test. udp 24 false 512" NOERROR qr,rd 24 0.250000000s'


def written(line: str, *outcomes: Outcome) -> list[str]:
    """What a `log` line, which may go on in braces, makes of these outcomes."""
    lines: list[str] = []
    config = configured(block(*line.split("\n"), "whoami"), lines)
    for seen in outcomes:
        for observer in served(config).observers:
            observer.observe(seen)
    return lines


def at_once(**parts: object) -> Outcome:
    made = outcome(**parts)
    return Outcome(made.packet, made.reply, PEER, 1.0, 1.25)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("log", COMMON),
        ('log . "{common}"', COMMON),
        ('log . "{combined}"', f"{COMMON} 0"),
        ('log . "{>id} {type} {class} {name}"', "1234 A IN x.test."),
        ('log . "<{common}>"', f"<{COMMON}>"),
        ('log "{remote}|{port}|{proto}|{local}"', "192.0.2.7|40000|udp|192.0.2.1"),
        ('log . "{size} {rsize} {>do} {>bufsize} {>opcode}"', "24 24 false 512 0"),
        ('log . "{/kubernetes/namespace} {nosuch} {}"', "- {nosuch} {}"),
        ('log . "100% {rcode} {{name}}"', "100% NOERROR {x.test.}"),
    ],
)
def test_formats(line, expected):
    assert written(line, at_once()) == [f"[INFO] {expected}"]


def test_edns_of_the_query_is_shown():
    packet = dns.message.make_query("x.test.", "HTTPS", want_dnssec=True, payload=1400, id=7).to_wire()
    (line,) = written('log . "{type} {>do} {>bufsize}"', outcome(packet=packet))
    assert line == "[INFO] HTTPS true 1400"


@pytest.mark.parametrize(("payload", "shown"), [(0, 512), (100, 512), (65535, 65535)])
def test_a_payload_below_512_means_512(payload, shown):
    packet = dns.message.make_query("x.test.", "A", use_edns=0, payload=payload).to_wire()
    assert written('log . "{>bufsize}"', outcome(packet=packet)) == [f"[INFO] {shown}"]


def test_an_ipv6_client_stands_in_brackets():
    made = outcome()
    peer = Peer("fd00::7", 40000, "tcp", "fd00::1")
    line = written('log . "{remote}:{port}"', Outcome(made.packet, made.reply, peer, 0, 0))
    assert line == ["[INFO] [fd00::7]:40000"]


def test_types_and_classes_without_a_name():
    packet = dns.message.make_query("x.test.", "TYPE65534", "CLASS42").to_wire()
    assert written('log . "{type} {class}"', outcome(packet=packet)) == ["[INFO] TYPE65534 CLASS42"]


SUCCESS, NODATA, NXDOMAIN = outcome(answers=1), outcome(), outcome(rcode=3)
SERVFAIL, REFUSED = outcome(rcode=2), outcome(rcode=5)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (SUCCESS, Verdict.SUCCESS),
        (NODATA, Verdict.DENIAL),
        (NXDOMAIN, Verdict.DENIAL),
        # The CNAME of a chain whose end does not exist
        (outcome(rcode=3, answers=1), Verdict.DENIAL),
        (SERVFAIL, Verdict.ERROR),
        (REFUSED, Verdict.ERROR),
    ],
)
def test_verdicts(made, expected):
    assert verdict(made.reply) is expected


@pytest.mark.parametrize(
    ("classes", "rcodes"),
    [
        ("success", ["NOERROR 1"]),
        ("denial", ["NOERROR 0", "NXDOMAIN 0"]),
        ("error", ["SERVFAIL 0", "REFUSED 0"]),
        ("denial success", ["NOERROR 1", "NOERROR 0", "NXDOMAIN 0"]),
        ("all", ["NOERROR 1", "NOERROR 0", "NXDOMAIN 0", "SERVFAIL 0", "REFUSED 0"]),
        ("error\nclass success", ["NOERROR 1", "SERVFAIL 0", "REFUSED 0"]),
    ],
)
def test_classes(classes, rcodes):
    shown = {"NOERROR 1": SUCCESS, "NOERROR 0": NODATA, "NXDOMAIN 0": NXDOMAIN}
    shown |= {"SERVFAIL 0": SERVFAIL, "REFUSED 0": REFUSED}
    lines = written(f'log . "{{rcode}}" {{\nclass {classes}\n}}', *shown.values())
    assert lines == [f"[INFO] {key.split()[0]}" for key in shown if key in rcodes]


def test_only_names_of_the_zones():
    names = ("a.test.", "x.a.test.", "xa.test.", "b.test.", "10.in-addr.arpa.", "1.0.0.10.in-addr.arpa.")
    lines = written('log A.test 10.0.0.0/24 "{name}"', *(outcome(name) for name in names))
    assert lines == ["[INFO] a.test.", "[INFO] x.a.test.", "[INFO] 1.0.0.10.in-addr.arpa."]


def test_two_lines_write_twice():
    assert written('log . "one {name}"\nlog . "two {name}"', outcome()) == ["[INFO] one x.test.", "[INFO] two x.test."]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (b"a\nb", "a\\010b"),
        (b"\r\0\x1b[2J", "\\013\\000\\027[2j"),
        (b'a"b\\c', 'a\\"b\\\\c'),
        (b"a.b c", "a\\.b\\032c"),
        (b"\xff\x7f\xc3\xa9", "\\255\\127\\195\\169"),
        (b"{remote}", "{remote}"),
        (b"%s%n", "%s%n"),
    ],
)
def test_a_hostile_name_is_shown_escaped_and_never_read_as_a_format(label, shown):
    packet = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes((len(label),)) + label + b"\4test\0\0\1\0\1"
    assert written('log . "<{name}>"', outcome(packet=packet)) == [f"[INFO] <{shown}.test.>"]


def test_memo_hits_are_logged_and_stay_hits(tmp_path):
    (tmp_path / "objects.yaml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n")
    server = InProcess(
        block('log . "{>id} {name} {rcode}"', "kubernetes cluster.local {", f"manifests {tmp_path}", "}")
    )
    for number in (1, 2, 3):
        server.ask(dns.message.make_query("No.default.svc.cluster.local.", "A", id=number).to_wire())
    assert server.lines == [f"[INFO] {number} no.default.svc.cluster.local. NXDOMAIN" for number in (1, 2, 3)]
    assert server.hits() == 2


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["log . {", "class", "}"], "takes at least 1 argument"),
        (["log . {", "class good", "}"], "one of all, success, denial, error"),
        (["log . {", "classes all", "}"], "did you mean class?"),
        (["log a..b"], "zone"),
    ],
)
def test_mistakes(lines, error):
    (found,) = mistakes(*lines, "whoami")
    assert error in found

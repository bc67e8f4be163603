"""Keys of server blocks."""

import pytest

from clusterdns.corefile.keys import parse_key
from clusterdns.corefile.lexer import Token
from clusterdns.errors import ConfigError
from clusterdns.wire import names


def key(text):
    return parse_key(Token(text, "Corefile", 3, 7))


@pytest.mark.parametrize(
    ("text", "scheme", "zones", "port"),
    [
        (".", "dns", ["."], None),
        (".:53", "dns", ["."], 53),
        (".:0", "dns", ["."], 0),
        (".:65535", "dns", ["."], 65535),
        ("CLUSTER.Local:53", "dns", ["cluster.local."], 53),
        ("a.test.", "dns", ["a.test."], None),
        ("_tcp.a-b.test", "dns", ["_tcp.a-b.test."], None),
        ("tls://a.test", "tls", ["a.test."], None),
        ("https://.:5444", "https", ["."], 5444),
        ("https3://.", "https3", ["."], None),
        ("grpc://.", "grpc", ["."], None),
        ("quic://.:853", "quic", ["."], 853),
        ("10.0.0.0/24", "dns", ["0.0.10.in-addr.arpa."], None),
        ("10.0.0.5/24:53", "dns", ["0.0.10.in-addr.arpa."], 53),
        ("tls://10.0.0.0/8:853", "tls", ["10.in-addr.arpa."], 853),
        ("2001:db8::/32", "dns", ["8.b.d.0.1.0.0.2.ip6.arpa."], None),
        ("2001:db8::/32:5353", "dns", ["8.b.d.0.1.0.0.2.ip6.arpa."], 5353),
        ("0.0.0.0/0", "dns", ["in-addr.arpa."], None),
        ("0/25.2.0.192.in-addr.arpa:53", "dns", ["0/25.2.0.192.in-addr.arpa."], 53),
    ],
)
def test_accepted(text, scheme, zones, port):
    parsed = key(text)
    assert (parsed.scheme, [names.to_text(zone) for zone in parsed.zones], parsed.port) == (scheme, zones, port)
    assert parsed.token.text == text


@pytest.mark.parametrize(("text", "count"), [("10.0.0.0/27", 32), ("10.0.0.0/12", 16), ("2001:db8::/33", 8)])
def test_network_between_limits_is_several_zones(text, count):
    assert len(set(key(text).zones)) == count


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no zone"),
        (":53", "has no zone"),
        (":", "has no zone"),
        ("tls://", "has no zone"),
        ("tls://:853", "has no zone"),
        ("a:", "port"),
        (".:dns", "port"),
        (".:65536", "port"),
        (".:-1", "port"),
        (".:" + "9" * 5000, "port"),
        (".:٥٣", "port"),
        ("10.0.0.0/8:x", "port"),
        ("foo://.", "scheme"),
        ("htps://.", "did you mean https"),
        ("TLS://.", "did you mean tls"),
        ("10.0.0.1", "is an address"),
        ("10.0.0.1:53", "is an address"),
        ("::1", "write ::1/128"),
        ("[::1]:53", "is an address"),
        ("10.0.0.0/33", "network"),
        ("10.0.0/24", "network"),
        ("300.0.0.0/8", "network"),
        ("10.0.0.0/255.0.0.0", "network"),
        ("2001:db8::/129", "network"),
        ("a.test/24", "network"),
        ("*.test", 'have "*"'),
        ("${X}", 'have "$"'),
        ("a{b.test", 'have "{"'),
        ("a}", 'have "}"'),
        ("a.test,b.test", "blank behind the comma"),
        ("a:b:53", "no port or scheme"),
        ("a b", 'have " "'),
        ("(a", 'have "("'),
        ("a..test", "1 to 63 octets"),
        (".test", "1 to 63 octets"),
        ("..", "1 to 63 octets"),
        ("a" * 64 + ".test", "1 to 63 octets"),
        (".".join(["a" * 60] * 5), "at most 255"),
        ("\ud800.test", "zone"),
    ],
)
def test_rejected(text, says):
    with pytest.raises(ConfigError) as caught:
        key(text)
    error = caught.value
    assert says in str(error)
    assert error.hint
    assert (error.file, error.line, error.column) == ("Corefile", 3, 7)

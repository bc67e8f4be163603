import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.wire import names

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=8).filter(
    lambda labels: sum(len(label) + 1 for label in labels) < 255
)


@settings(max_examples=200, deadline=None)
@given(LABELS)
def test_names_of_any_octets_survive_labels_and_text(labels):
    name = names.from_labels(labels)
    assert names.to_labels(name) == [label.lower() for label in labels]
    assert names.from_text(names.to_text(name)) == name
    assert name == dns.name.Name([*labels, b""]).canonicalize().to_wire()
    assert [name[start] for start in names.starts(name)] == [*map(len, labels), 0]


@settings(max_examples=200, deadline=None)
@given(LABELS)
def test_text_is_what_other_software_reads(labels):
    name = names.from_labels(labels)
    assert dns.name.from_text(names.to_text(name)).to_wire() == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", b"\0"),
        (".", b"\0"),
        ("Svc.Local", b"\3svc\5local\0"),
        ("svc.local.", b"\3svc\5local\0"),
        (r"a\.b.c", b"\3a.b\1c\0"),
        (r"a\\b", b"\3a\\b\0"),
        (r"\000\255", b"\2\0\xff\0"),
        # Above 255 the backslash escapes the first digit alone
        (r"\256", b"\x03256\0"),
        ("a\\", b"\2a\\\0"),
        ("é", b"\2\xc3\xa9\0"),
    ],
)
def test_text_forms(text, name):
    assert names.from_text(text) == name


@pytest.mark.parametrize("text", ["a..b", "..", ".a", "a" * 64, ".".join(["a" * 63] * 4)])
def test_text_that_is_no_name(text):
    with pytest.raises(ValueError, match="octets"):
        names.from_text(text)


def test_limits_of_labels_and_names():
    assert len(names.from_labels([b"a" * 63] * 3 + [b"b" * 61])) == 255
    with pytest.raises(ValueError, match="255"):
        names.from_labels([b"a" * 63] * 3 + [b"b" * 62])
    with pytest.raises(ValueError, match="63"):
        names.from_labels([b"a" * 64])
    with pytest.raises(ValueError, match="63"):
        names.from_labels([b""])


@pytest.mark.parametrize(
    ("name", "zone", "below"),
    [
        ("a.b", "b", True),
        ("b", "b", True),
        ("b", ".", True),
        (".", ".", True),
        (".", "b", False),
        ("ab", "b", False),
        # The label's length octet, 1, and `b` stand inside of another label
        (r"x\001b", "b", False),
        ("b.a", "b", False),
    ],
)
def test_below_counts_on_label_limits_only(name, zone, below):
    assert names.is_below(names.from_text(name), names.from_text(zone)) is below


def test_a_zone_set_finds_the_longest_zone():
    zones = names.ZoneSet(map(names.from_text, ("local", "cluster.local", "10.in-addr.arpa")))
    left = {
        "a.b.cluster.local": 2,
        "cluster.local": 0,
        "x.local": 1,
        "1.10.in-addr.arpa": 1,
        "in-addr.arpa": None,
        ".": None,
        r"x\007cluster.local": 1,
    }
    for text, expected in left.items():
        name = names.from_text(text)
        assert zones.left_of(name, tuple(names.starts(name))) == expected
    root = names.ZoneSet([names.ROOT])
    assert root.left_of(names.ROOT, (0,)) == 0


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses())
def test_reverse_names_and_back(address):
    name = names.from_address(address.packed)
    assert name == dns.name.from_text(address.reverse_pointer).to_wire()
    digits = names.address_digits(name)
    assert digits == (list(address.packed) if address.version == 4 else [int(c, 16) for c in address.packed.hex()])
    assert names.is_reverse(name)


@pytest.mark.parametrize(
    "text",
    [
        "256.0.0.10.in-addr.arpa",
        "01.0.0.10.in-addr.arpa",
        "+1.0.0.10.in-addr.arpa",
        "1.2.3.4.5.in-addr.arpa",
        "x.10.in-addr.arpa",
        "1_0.10.in-addr.arpa",
        "g.ip6.arpa",
        "10.ip6.arpa",
        ".".join("0" * 33) + ".ip6.arpa",
        "1.0.0.10.in-addr.arpa.local",
        "local",
    ],
)
def test_names_that_spell_no_address(text):
    assert names.address_digits(names.from_text(text)) is None


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("in-addr.arpa", []),
        ("10.in-addr.arpa", [10]),
        ("0.96.10.in-addr.arpa", [10, 96, 0]),
        ("0.d.f.ip6.arpa", [15, 13, 0]),
    ],
)
def test_partial_reverse_names(text, digits):
    assert names.address_digits(names.from_text(text)) == digits


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.96.0.0/16", ["96.10.in-addr.arpa."]),
        ("10.96.0.7/24", ["0.96.10.in-addr.arpa."]),
        ("10.96.0.0/15", ["96.10.in-addr.arpa.", "97.10.in-addr.arpa."]),
        ("10.0.0.0/8", ["10.in-addr.arpa."]),
        ("0.0.0.0/0", ["in-addr.arpa."]),
        ("10.0.0.1/32", ["1.0.0.10.in-addr.arpa."]),
        ("fd00::/7", ["c.f.ip6.arpa.", "d.f.ip6.arpa."]),
        ("fd00::/8", ["d.f.ip6.arpa."]),
    ],
)
def test_reverse_zones_of_a_network(network, zones):
    assert [names.to_text(zone) for zone in names.reverse_zones(network)] == zones

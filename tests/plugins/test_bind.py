"""`bind`: which addresses a server block listens on."""

import pytest

from clusterdns.errors import ConfigErrors
from tests.plugins.blocks import block, configured, mistakes


def addresses(*lines):
    return [listener.address for listener in configured(block(*lines, "whoami")).listeners]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], [""]),
        (["bind 127.0.0.1"], ["127.0.0.1"]),
        (["bind ::1 127.0.0.1"], ["::1", "127.0.0.1"]),
        (["bind 127.0.0.1", "bind 192.0.2.1"], ["127.0.0.1", "192.0.2.1"]),
        (["bind lo"], ["127.0.0.1", "::1"]),
        (["bind lo eth0"], ["127.0.0.1", "::1", "192.0.2.1", "fd00::1"]),
        (["bind lo 127.0.0.1 lo"], ["127.0.0.1", "::1"]),
        # One spelling for each address
        (["bind 0:0::1 ::1"], ["::1"]),
        (["bind lo {", "except ::1", "}"], ["127.0.0.1"]),
        (["bind lo eth0 {", "except eth0", "}"], ["127.0.0.1", "::1"]),
        (["bind lo eth0 {", "except 127.0.0.1", "except ::1 fd00::1", "}"], ["192.0.2.1"]),
        # `except` is for its own line
        (["bind lo {", "except ::1", "}", "bind ::1"], ["127.0.0.1", "::1"]),
    ],
)
def test_addresses(lines, expected):
    assert addresses(*lines) == expected


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["bind"], "takes at least 1 argument"),
        (["bind eth7"], 'bind: "eth7" is neither an address nor an interface of this machine'),
        (["bind 10.0.0.256"], "neither an address nor an interface"),
        (["bind lo {", "except 127.0.0.1 ::1", "}"], "no address is left"),
        (["bind lo {", "except eth7", "}"], "neither an address nor an interface"),
        (["bind lo {", "only 127.0.0.1", "}"], "only `except` is known"),
    ],
)
def test_mistakes(lines, error):
    assert error in mistakes(*lines, "whoami")[0]


def test_one_zone_on_two_addresses_is_two_listeners():
    text = block("bind 127.0.0.1", "whoami") + block("bind ::1", "whoami")
    assert [(each.address, each.zones) for each in configured(text).listeners] == [
        ("127.0.0.1", (".",)),
        ("::1", (".",)),
    ]


def test_two_zones_on_one_address_share_a_listener():
    text = block("bind 127.0.0.1", "whoami") + block("bind 127.0.0.1", "whoami", key="a.test")
    (listener,) = configured(text).listeners
    assert listener.zones == (".", "a.test.")


def test_the_same_zone_twice_on_one_address():
    text = block("bind 127.0.0.1", "whoami") + block("bind lo", "whoami")
    with pytest.raises(ConfigErrors, match=r"^Corefile:5:1: \. is served by Corefile:1 already"):
        configured(text)


def test_wildcard_and_address_of_one_port_overlap():
    text = block("whoami") + block("bind 127.0.0.1", "whoami", key="a.test:53")
    with pytest.raises(ConfigErrors, match=r"^Corefile:4:1: port 53 is served on all addresses by Corefile:1"):
        configured(text)


def test_wildcard_and_address_of_two_ports_do_not():
    text = block("whoami") + block("bind 127.0.0.1", "whoami", key="a.test:54")
    assert [(each.address, each.port) for each in configured(text).listeners] == [("", 53), ("127.0.0.1", 54)]


@pytest.mark.parametrize(("wildcard", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_wildcard_of_one_family_overlaps_with_its_addresses(wildcard, address):
    """The second socket could not be bound: the start would blame another server."""
    text = block(f"bind {wildcard}", "whoami") + block(f"bind {address}", "whoami", key="a.test:53")
    with pytest.raises(ConfigErrors, match=r"^Corefile:5:1: port 53 is served on all addresses"):
        configured(text)


def test_a_wildcard_of_one_family_leaves_the_other_alone():
    text = block("bind 0.0.0.0", "whoami") + block("bind ::1", "whoami", key="a.test:53")
    assert [each.address for each in configured(text).listeners] == ["0.0.0.0", "::1"]

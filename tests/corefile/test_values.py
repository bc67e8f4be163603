"""Tokens to values, and what is said about those that are none."""

import ipaddress

import pytest

from clusterdns.corefile import values
from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.errors import ConfigError
from clusterdns.wire import names


def token(text, column=9):
    return Token(text, "Corefile", 4, column)


def directive(*words, block=None):
    name, *args = (token(word, 5 + 10 * place) for place, word in enumerate(words))
    return Directive(name, tuple(args), block)


def complaint(function, *args, **options):
    """The error that a call raises; it must have a place and a hint."""
    with pytest.raises(ConfigError) as caught:
        function(*args, **options)
    assert (caught.value.file, caught.value.line) == ("Corefile", 4)
    return caught.value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("30s", 30),
        ("1h20m", 4800),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("2.s", 2),
        ("100ms", 0.1),
        ("1m30s", 90),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("7ns", 7e-9),
        ("+5s", 5),
        ("-0s", 0),
    ],
)
def test_duration(text, seconds):
    assert values.duration(token(text)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "x", "30", "1.5", "s", ".s", "1d", "1 s", "1s2", "-1s", "5S", "9" * 5000 + "s", "٣s"]
)
def test_no_duration(text):
    assert complaint(values.duration, token(text)).hint


def test_duration_without_unit_shows_the_unit():
    assert complaint(values.duration, token("30")).hint == "write for example 30s"


def test_negative_duration_where_it_means_something():
    assert values.duration(token("-1s"), negative=True) == -1


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("30", 30), ("+5", 5), ("-1", -1), ("007", 7)])
def test_integer(text, number):
    assert values.integer(token(text), -1, 3600) == number


@pytest.mark.parametrize("text", ["", "x", "-2", "3601", "1.0", "1e3", "0x1", "1_0", "٣", "9" * 5000])
def test_no_integer(text):
    error = complaint(values.integer, token(text), -1, 3600)
    assert "from -1 to 3600" in error.message
    assert error.hint == "write for example 1"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1.5", 1.5), (".5", 0.5), ("20", 20)])
def test_decimal(text, number):
    assert values.decimal(token(text), 0) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "-0.1", "nan", "inf", "1,5", "9" * 400])
def test_no_decimal(text):
    assert "at least 0" in complaint(values.decimal, token(text), 0).message


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("Cluster.Local", ["cluster.local."]),
        (".", ["."]),
        ("in-addr.arpa", ["in-addr.arpa."]),
        ("10.0.0.0/7", ["10.in-addr.arpa.", "11.in-addr.arpa."]),
    ],
)
def test_zone(text, zones):
    assert [names.to_text(zone) for zone in values.zone(token(text))] == zones


@pytest.mark.parametrize(
    "text", ["", "a..b", "*.a", "10.0.0.1", "10.0.0.1.", "a.test:53", "dns://a.test", "10.0.0.0/x"]
)
def test_no_zone(text):
    assert complaint(values.zone, token(text)).hint


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1/128"),
    ],
)
def test_network(text, network):
    assert values.network(token(text)) == ipaddress.ip_network(network)


@pytest.mark.parametrize("text", ["", "*", "a.test", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/", "fe80::1%lo/64"])
def test_no_network(text):
    assert complaint(values.network, token(text)).hint


def test_address():
    assert values.address(token("fd00::A")) == ipaddress.ip_address("fd00::a")


@pytest.mark.parametrize("text", ["", "a.test", "10.0.0.256", "10.0.0.0/8", "[::1]", "010.0.0.1"])
def test_no_address(text):
    assert complaint(values.address, token(text)).hint


def test_choice():
    assert values.choice(token("insecure"), ("disabled", "insecure")) == "insecure"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("DISABLED", "did you mean disabled?"), ("insecur", "did you mean insecure?"), ("x", "write one of these words")],
)
def test_no_choice(text, hint):
    error = complaint(values.choice, token(text), ("disabled", "insecure"))
    assert error.hint == hint
    assert error.message == f'one of disabled, insecure, not "{text}"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.9", ("127.0.0.9", 53)),
        ("127.0.0.9:5353", ("127.0.0.9", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        (":9153", ("", 9153)),
        ("localhost:8080", ("localhost", 8080)),
        ("dns.a-b.test.", ("dns.a-b.test.", 53)),
    ],
)
def test_host_port(text, expected):
    assert values.host_port(token(text), 53) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", ":", "a_b%c", "a:b", "127.0.0.9:", "127.0.0.9:65536", "127.0.0:53", "9153", "[127.0.0.1]:53"],
        *["[::1", "::1]:53", "-a.test", "a..test", "a" * 64, "/etc/resolv.conf", "tls://127.0.0.1"],
        "127.0.0.1:" + "9" * 5000,
    ],
)
def test_no_host_port(text):
    assert complaint(values.host_port, token(text), 53).hint


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1", "9154", "::1"])
def test_port_that_must_be_there(text):
    assert complaint(values.host_port, token(text), None).hint


@pytest.mark.parametrize(
    ("words", "low", "high", "column", "message"),
    [
        (["loop", "x"], 0, 0, 15, "loop: takes no arguments, got 1"),
        (["ttl"], 1, 1, 5, "ttl: takes 1 argument, got none"),
        (["ttl", "1", "2", "3"], 1, 1, 25, "ttl: takes 1 argument, got 3"),
        (["reload", "1s", "2s", "3s"], 0, 2, 35, "reload: takes 0 to 2 arguments, got 3"),
        (["namespaces"], 1, None, 5, "namespaces: takes at least 1 argument, got none"),
        (["tls", "a"], 3, 3, 5, "tls: takes 3 arguments, got 1"),
    ],
)
def test_wrong_number_of_arguments(words, low, high, column, message):
    error = complaint(values.arguments, directive(*words), low, high)
    assert (error.column, error.message) == (column, message)
    assert error.hint


def test_arguments_are_handed_back():
    assert [arg.text for arg in values.arguments(directive("namespaces", "a", "b"), 1)] == ["a", "b"]


def test_block_where_none_belongs():
    values.no_block(directive("loop"))
    assert complaint(values.no_block, directive("loop", block=())).message == "loop: takes no block"


def test_within_names_each_directive_once():
    def setup(function, *args):
        with values.within("kubernetes"), values.within("ttl"):
            function(*args)

    wrong = complaint(setup, values.integer, token("x"), 0, 3600)
    assert str(wrong) == ('Corefile:4:9: kubernetes: ttl: a whole number from 0 to 3600, not "x" (write for example 1)')
    surplus = complaint(setup, values.arguments, directive("ttl", "1", "2"), 1, 1)
    assert surplus.message == "kubernetes: ttl: takes 1 argument, got 2"

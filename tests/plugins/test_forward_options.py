"""What a `forward` line says, and every way to get it wrong."""

import pytest

from clusterdns.plugins.forward_options import MAX_UPSTREAMS
from clusterdns.upstream.group import Policy, Transport
from clusterdns.wire.codes import RCode
from tests.plugins.blocks import Run, block, configured, mistakes


def group(*lines):
    return Run(configured(block(*lines)), "a.test.").group


def upstreams(*targets):
    return [str(upstream) for upstream in group(f"forward . {' '.join(targets)}").upstreams]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("192.0.2.1", ["dns://192.0.2.1:53"]),
        ("192.0.2.1:5353", ["dns://192.0.2.1:5353"]),
        ("dns://192.0.2.1", ["dns://192.0.2.1:53"]),
        ("fd00::1", ["dns://[fd00::1]:53"]),
        ("[fd00::1]:5353", ["dns://[fd00::1]:5353"]),
        ("tls://192.0.2.1", ["tls://192.0.2.1:853"]),
        ("tls://[fd00::1]:8853", ["tls://[fd00::1]:8853"]),
        ("/etc/resolv.conf", ["dns://192.0.2.53:53", "dns://[fd00::53]:53"]),
        ("dns.test", ["dns://192.0.2.53:53", "dns://[fd00::53]:53"]),
        ("dns.test:5353", ["dns://192.0.2.53:5353", "dns://[fd00::53]:5353"]),
        ("192.0.2.53 /etc/resolv.conf", ["dns://192.0.2.53:53", "dns://[fd00::53]:53"]),
    ],
)
def test_targets(target, expected):
    assert upstreams(*target.split()) == expected


@pytest.mark.parametrize(
    ("target", "option", "name"),
    [
        ("tls://192.0.2.1%dns.test", "force_tcp", "dns.test"),
        ("tls://192.0.2.1", "tls_servername dns.test", "dns.test"),
        ("tls://192.0.2.1%own.test", "tls_servername dns.test", "own.test"),
    ],
)
def test_the_name_in_the_certificate(target, option, name):
    (upstream,) = group(f"forward . {target} {{", option, "}").upstreams
    assert (upstream.transport, upstream.name) == (Transport.TLS, name)


def test_defaults():
    found = group("forward . 192.0.2.1")
    assert (found.policy, found.timeout, found.max_concurrent, found.force_tcp) == (Policy.RANDOM, 2.0, 0, False)
    assert found.failover == frozenset()


def test_options():
    found = group(
        "forward . 192.0.2.1 {",
        *("policy round_robin", "read_timeout 150ms", "max_concurrent 7", "force_tcp", "failover SERVFAIL refused"),
        "}",
    )
    assert (found.policy, found.timeout, found.max_concurrent, found.force_tcp) == (Policy.ROUND_ROBIN, 0.15, 7, True)
    assert found.failover == {RCode.SERVFAIL, RCode.REFUSED}


@pytest.mark.parametrize(
    ("line", "place", "error"),
    [
        ("forward", "2:1", "takes at least 2 arguments, got none"),
        ("forward .", "2:1", "takes at least 2 arguments, got 1"),
        ("forward a..b 192.0.2.1", "2:9", "zone"),
        ("forward . 192.0.2.256", "2:11", "an address and a port"),
        ("forward . 192.0.2.1:99999", "2:11", "a port from 0 to 65535"),
        ("forward . 192.0.2.1:0", "2:11", "no upstream"),
        ("forward . :53", "2:11", "no upstream"),
        ("forward . sctp://192.0.2.1", "2:11", "unknown scheme"),
        ("forward . nosuch.test", "2:11", 'host name "nosuch.test" does not resolve'),
        ("forward . dns.invalid", "2:11", "does not resolve"),
        ("forward . /etc/nosuch", "2:11", "no such file"),
        ("forward . empty", "2:11", "has no line `nameserver ADDRESS`"),
    ],
)
def test_mistakes_of_the_line(line, place, error):
    (found,) = mistakes(line)
    assert found.startswith(f"{place}: ")
    assert error in found


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("polcy random", "unknown option"),
        ("policy best", "one of random, round_robin, sequential"),
        ("policy", "takes 1 argument"),
        ("except", "takes at least 1 argument"),
        ("except a..b", "zone"),
        ("max_concurrent -1", "a whole number from 0"),
        ("read_timeout 0s", "longer than 0"),
        ("read_timeout 2", "a duration has a unit"),
        ("force_tcp yes", "takes no arguments"),
        ("next NOSUCH", "one of NOERROR"),
        ("next", "takes at least 1 argument"),
        ("next_on_nodata x", "takes no arguments"),
        ("failover NOERROR", "cannot take NOERROR"),
        ("expire 0s", "longer than 0"),
        ("health_check", "takes at least 1 argument"),
        ("health_check 1s domain", "domain needs a name"),
        ("tls a b c d", "takes 0 to 3 arguments"),
        ("doh_method PUT", "one of POST, GET"),
        ("source_address eth0", "an IP address"),
        ("force_tcp {\nx\n}", "takes no block"),
    ],
)
def test_mistakes_of_an_option(option, error):
    (found,) = mistakes("forward . 192.0.2.1 {", option, "}")
    assert found.startswith("3:")
    assert error in found


def test_every_mistake_of_a_line_is_told():
    found = mistakes("forward . x_%y nosuch.test {", "policy best", "ttl 5", "}")
    assert [error.partition(": ")[0] for error in found] == ["2:11", "2:16", "3:8", "4:1"]


def test_more_upstreams_than_coredns_takes():
    many = [f"192.0.2.{i}" for i in range(1, MAX_UPSTREAMS + 2)]
    assert len(upstreams(*many[:MAX_UPSTREAMS], many[0])) == MAX_UPSTREAMS
    (found,) = mistakes(f"forward . {' '.join(many)}")
    assert f"{MAX_UPSTREAMS + 1} upstreams, at most {MAX_UPSTREAMS}" in found

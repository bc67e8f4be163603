"""Endpoint names: hostname, pod's name, dashed address; and slices merged."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.kube.endpoints import dashed, endpoint_label, merge, undashed
from clusterdns.kube.objects import Endpoint, Port, Slice

HTTP, DNS = Port(b"http", b"tcp", 80), Port(b"dns", b"udp", 53)


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("10.1.0.4", b"10-1-0-4"),
        ("255.255.255.255", b"255-255-255-255"),
        ("fd00::1", b"fd00--1"),
        ("2001:db8:1:2:3:4:5:6", b"2001-db8-1-2-3-4-5-6"),
        ("::1", b"--1"),
        # A label may not end in a dash
        ("fd00::", b"fd00--0"),
        ("::", b"--0"),
        ("::ffff:10.0.0.1", b"--ffff-a00-1"),
    ],
)
def test_dashed_addresses(address, label):
    assert dashed(packed(address)) == label
    assert undashed(label) == packed(address)


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses())
def test_every_address_survives_its_dashed_form(address):
    label = dashed(address.packed)
    assert undashed(label) == address.packed
    assert len(label) <= 63
    assert not label.endswith(b"-")


@pytest.mark.parametrize(
    "label",
    [
        b"",
        b"-",
        b"10-1-0",
        b"10-1-0-256",
        b"010-1-0-4",
        b"10-1-0-4-5",
        b"10.1.0.4",
        b"+10-1-0-4",
        b"10-1-0-\xd9\xa4",
        b"fd00--1--2",
        b"fd00-1",
        b"g--1",
        b"12345--1",
        b"fe80--1%eth0",
        b"fe80--1%",
        b"web-0",
    ],
)
def test_labels_that_spell_no_address(label):
    assert undashed(label) is None


@pytest.mark.parametrize(
    ("hostname", "pod", "plain", "pod_names"),
    [
        (b"one", b"web-0", b"one", b"one"),
        (b"", b"web-0", b"10-0-0-1", b"web-0"),
        (b"", b"", b"10-0-0-1", b"10-0-0-1"),
        # A pod's name may be no label
        (b"", b"web.0", b"10-0-0-1", b"10-0-0-1"),
        (b"", b"p" * 64, b"10-0-0-1", b"10-0-0-1"),
        (b"", b"p" * 63, b"10-0-0-1", b"p" * 63),
        (b"", b"-web", b"10-0-0-1", b"10-0-0-1"),
    ],
)
def test_what_an_endpoint_is_called(hostname, pod, plain, pod_names):
    endpoint = Endpoint(packed("10.0.0.1"), hostname, pod)
    assert (endpoint_label(endpoint, False), endpoint_label(endpoint, True)) == (plain, pod_names)


def part(name: str, *endpoints: Endpoint, ports: tuple[Port, ...] = (HTTP,)) -> Slice:
    return Slice("a", name, b"\1s\1a", ports, endpoints)


def test_slices_of_one_service_are_merged():
    """Both families of one pod, an address in two slices, a hostname that several endpoints share."""
    merged = merge(
        [
            part("6", Endpoint(packed("fd00::1"), b"one")),
            part("4", Endpoint(packed("10.0.0.2"), b"one"), Endpoint(packed("10.0.0.1")), ports=(DNS,)),
            part("5", Endpoint(packed("10.0.0.1"))),
        ],
        False,
    )
    assert list(merged.names) == [b"10-0-0-1", b"one"]
    assert merged.addresses == tuple(map(packed, ("10.0.0.1", "10.0.0.2", "fd00::1")))
    assert merged.names[b"one"].addresses == tuple(map(packed, ("10.0.0.2", "fd00::1")))
    assert merged.names[b"10-0-0-1"].ports == (DNS, HTTP)


def test_names_and_addresses_do_not_mix():
    merged = merge([part("x", Endpoint(b"\3one\7example\0", fqdn=True))], False)
    assert (dict(merged.names), merged.addresses, list(merged.fqdns)) == ({}, (), [b"\3one\7example\0"])
    assert merged.fqdns[b"\3one\7example\0"].addresses == ()
    assert merged
    assert not merge([], False)
    assert not merge([part("empty")], False)


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(
        [
            part(str(n), Endpoint(packed(f"10.0.0.{n % 3}"), b"one" if n % 2 else b""), ports=(HTTP, DNS)[: n % 3])
            for n in range(5)
        ]
    )
)
def test_the_order_of_slices_does_not_show(parts):
    assert merge(parts, False) == merge(sorted(parts, key=lambda each: each.name), False)


def test_equal_ports_are_kept_once():
    merged = merge([part("x", *[Endpoint(packed(f"10.0.0.{n}")) for n in range(5)])], False)
    assert len({id(named.ports) for named in merged.names.values()}) == 1

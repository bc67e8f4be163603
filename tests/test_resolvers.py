"""Real resolvers, configured as in a pod, find the objects of config/demo through a running server."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.netns import Namespace
from tests.support.process import ROOT, Server
from tests.support.resolvers import CLIENTS, ETC, NAMESERVER, PATIENCE, Client, addresses, program
from tests.support.upstream import FakeUpstream

SOURCE = Path(__file__).parent / "support" / "musl_getaddrinfo.c"
COREFILE = """\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests %(demo)s
    }
    forward . %(upstream)s
}
"""

WEB = {"10.96.0.20"}
DB = {"10.244.1.10", "10.244.1.11", "10.244.1.12"}
# More than 512 octets hold.
CROWD = {f"10.244.3.{i}" for i in range(1, 61)}

SHORT_NAMES = {
    "web": WEB,
    "web.default": WEB,
    "web.default.svc": WEB,
    "db.data": DB,
    "db-1.db.data": {"10.244.1.11"},
    "docs": WEB,
    "v4only.example.net": {"198.51.100.4"},
    "nosuch": set(),
    "nosuch.default.svc.cluster.local": set(),
}
FULL_NAMES = {
    "web.default.svc.cluster.local.": WEB,
    "kube-dns.kube-system.svc.cluster.local.": {NAMESERVER},
    "db.data.svc.cluster.local.": DB,
    "db-0.db.data.svc.cluster.local.": {"10.244.1.10"},
    "docs.default.svc.cluster.local.": WEB,
    "nosuch.default.svc.cluster.local.": set(),
}


@dataclass(frozen=True, slots=True)
class Pod:
    """A place where resolv.conf leads to the server, and the program linked with musl."""

    namespace: Namespace
    musl: Client

    def run(self, *argv: str) -> str:
        """What a resolver prints; slower than PATIENCE it raises TimeoutExpired."""
        return self.namespace.run(*argv, timeout=PATIENCE).stdout


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    folder = tmp_path_factory.mktemp("resolvers")
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(Namespace((NAMESERVER,), ETC))
        with namespace.entered():
            upstream = stack.enter_context(FakeUpstream())
        corefile = write_corefile(folder, upstream)
        stack.enter_context(Server(corefile, address=(NAMESERVER, 53), namespace=namespace))
        yield Pod(namespace, musl_client(folder))


def write_corefile(folder: Path, upstream: FakeUpstream) -> Path:
    corefile = folder / "Corefile"
    corefile.write_text(COREFILE % {"demo": ROOT / "config" / "demo", "upstream": upstream.address})
    return corefile


def musl_client(folder: Path) -> Client:
    compiled = folder / "musl-getaddrinfo"
    compiler = ["musl-gcc", "-static", "-O1", "-Wall", "-Werror", "-o", str(compiled), str(SOURCE)]
    subprocess.run(compiler, check=True, timeout=60)
    return Client(program(str(compiled)), search=True)


def client_of(pod: Pod, name: str) -> Client:
    return pod.musl if name == "musl" else CLIENTS[name]


@pytest.mark.parametrize("name", SHORT_NAMES)
@pytest.mark.parametrize("client", [*(name for name, client in CLIENTS.items() if client.search), "musl"])
def test_a_name_is_found_along_the_search_path(pod, client, name):
    assert client_of(pod, client).lookup(pod.namespace, name) == SHORT_NAMES[name]


@pytest.mark.parametrize("name", FULL_NAMES)
@pytest.mark.parametrize("client", [*CLIENTS, "musl"])
def test_a_full_name_is_found(pod, client, name):
    assert client_of(pod, client).lookup(pod.namespace, name) == FULL_NAMES[name]


@pytest.mark.parametrize("reverse", [("dig", "+short", "-x"), ("drill", "-x"), ("kdig", "+short", "-x")])
@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.96.0.20", "web.default.svc.cluster.local."),
        ("10.244.1.12", "db-2.db.data.svc.cluster.local."),
    ],
)
def test_an_address_has_its_name(pod, reverse, address, name):
    assert name in pod.run(*reverse, address).split()


def test_glibc_turns_an_address_into_a_name(pod):
    assert pod.run("getent", "hosts", "10.96.0.20").split() == ["10.96.0.20", "web.default.svc.cluster.local"]


def test_an_address_without_a_service_has_no_name(pod):
    assert pod.run("dig", "+short", "-x", "10.96.7.7") == ""
    assert pod.run("getent", "hosts", "10.96.7.7") == ""


def test_srv_lists_each_host_of_a_headless_service_and_its_address(pod):
    printed = pod.run("dig", "_sql._tcp.db.data.svc.cluster.local.", "SRV")
    services = [words[4:] for line in printed.splitlines() if (words := line.split())[3:4] == ["SRV"]]
    assert {(port, host) for _, _, port, host in services} == {
        ("5432", f"db-{i}.db.data.svc.cluster.local.") for i in range(3)
    }
    assert addresses(printed) == DB


def test_both_families_of_a_dual_stack_service_are_found(pod):
    assert pod.run("dig", "+search", "+short", "api", "AAAA").split() == ["fd00:10:96::30"]
    assert pod.musl.lookup(pod.namespace, "api") == {"10.96.0.30", "fd00:10:96::30"}


def test_a_reply_too_large_for_udp_is_fetched_over_tcp(pod):
    name = "crowd.data.svc.cluster.local."
    truncated = pod.run("dig", "+bufsize=512", "+ignore", name)
    flags = next(line for line in truncated.splitlines() if line.startswith(";; flags:"))
    assert "tc" in flags.split(";")[2].split()
    whole = pod.run("dig", "+bufsize=512", name)
    assert addresses(whole) == CROWD
    assert f";; SERVER: {NAMESERVER}#53({NAMESERVER}) (TCP)" in whole


def test_glibc_fetches_a_large_reply_over_tcp(pod):
    assert addresses(pod.run("getent", "ahosts", "crowd.data")) == CROWD


def test_musl_uses_what_fits_or_fetches_the_rest(pod):
    """musl before 1.2.4 has no TCP: what stands in the truncated reply is all it gets, so that is not nothing."""
    found = pod.musl.lookup(pod.namespace, "crowd.data")
    assert len(found) > 20
    assert found <= CROWD

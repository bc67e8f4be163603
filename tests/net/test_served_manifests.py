"""Manifests that change, break and are mended under a running server."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from tests.net.live import Client, serving
from tests.sources.objects import documents, endpoints, namespace, service
from tests.support.netns import Namespace
from tests.support.process import Server, eventually

COREFILE = """\
.:53 {
    kubernetes cluster.local in-addr.arpa {
        manifests %s
    }
}
"""
# Seconds from a change on disk to the answer that shows it: one, and what a busy machine adds
LATEST = 1.5
ZONE = "default.svc.cluster.local."


@dataclass(frozen=True, slots=True)
class World:
    server: Server
    client: Client
    folder: Path

    def write(self, file: str, *objects: dict) -> None:
        (self.folder / file).write_text(documents(*objects))

    def rcode(self, name: str) -> str:
        return dns.rcode.to_text(self.client.ask(f"{name}.{ZONE}").rcode())

    def addresses(self, name: str) -> list[str]:
        return sorted(record.address for rrset in self.client.ask(f"{name}.{ZONE}").answer for record in rrset)

    def shows(self, name: str, *addresses: str) -> bool:
        return eventually(lambda: self.addresses(name) == list(addresses))

    def says(self, *parts: str) -> str:
        """The line of the log that has all of `parts` in it."""

        def found():
            return [line for line in self.server.output().splitlines() if all(part in line for part in parts)]

        assert eventually(found), f"{parts}:\n{self.server.output()}"
        (line,) = found()
        return line


@contextlib.contextmanager
def started(tmp_path: Path, *paths: str) -> Iterator[World]:
    """A server of the manifests in `tmp_path`, or of `paths` in it. What it reads first is there already."""
    named = " ".join(str(tmp_path / path) for path in paths or ("",))
    configuration = tmp_path.parent / f"{tmp_path.name}-configuration"
    configuration.mkdir()
    with (
        Namespace(()) as namespace_,
        serving(configuration, COREFILE % named, namespace_, f"web.{ZONE}") as (server, client),
    ):
        yield World(server, client, tmp_path)
        assert "Traceback" not in server.output()


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    (tmp_path / "namespaces.yaml").write_text(documents(namespace()))
    (tmp_path / "web.yaml").write_text(documents(service("web")))
    with started(tmp_path) as made:
        yield made


def test_an_edit_is_served_within_a_second(world):
    """Each change in turn; the memo has the name before."""
    for address in ("10.96.0.21", "10.96.0.22"):
        world.client.ask(f"web.{ZONE}")
        begin = time.monotonic()
        world.write("web.yaml", service("web", address))
        assert world.shows("web", address)
        assert time.monotonic() - begin < LATEST


def test_a_new_file_a_new_name_and_their_end(world):
    assert world.rcode("new") == "NXDOMAIN"
    world.write("new.yaml", service("new", "10.96.0.30"))
    assert world.shows("new", "10.96.0.30")
    (world.folder / "new.yaml").unlink()
    assert eventually(lambda: world.rcode("new") == "NXDOMAIN")


def test_a_file_that_is_replaced_is_never_half_served(world):
    """Written beside and renamed, as a ConfigMap is: between the two there is nothing else to see."""
    replacement = world.folder.parent / f"{world.folder.name}-replacement"
    replacement.write_text(documents(service("web", "10.96.0.23")))
    os.replace(replacement, world.folder / "web.yaml")
    seen = {"10.96.0.20"}
    assert eventually(lambda: seen.update(world.addresses("web")) or "10.96.0.23" in seen)
    assert seen == {"10.96.0.20", "10.96.0.23"}


def test_a_broken_file_is_named_with_its_line_and_its_last_good_state_stays(world):
    world.write("new.yaml", service("new", "10.96.0.30"))
    assert world.shows("new", "10.96.0.30")
    (world.folder / "new.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: [\n")
    line = world.says("new.yaml:", "its last good state stays")
    assert line.startswith(f"[ERROR] {world.folder}/new.yaml:4:1: ")
    assert (world.addresses("new"), world.addresses("web")) == (["10.96.0.30"], ["10.96.0.20"])
    world.write("new.yaml", service("new", "10.96.0.31"))
    assert world.shows("new", "10.96.0.31")


@pytest.mark.parametrize(
    "text", ["", "\0\0\0", "- a\n- b\n", "{" * 2000, "&a [*a]\n", "a: !!python/object:os.system x\n"]
)
def test_no_file_stops_the_server(world, text):
    (world.folder / "web.yaml").write_text(text)
    world.says("web.yaml", "its last good state stays")
    world.write("other.yaml", service("other", "10.96.0.40"))
    assert world.shows("other", "10.96.0.40")
    assert world.addresses("web") == ["10.96.0.20"]


def bad(field: str, value: object, name: str = "bad") -> dict:
    made = service(name, "10.96.0.50")
    made["spec"][field] = value
    return made


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (bad("clusterIP", 5), ["Service default/bad: spec.clusterIP: ", "got `int`"]),
        (bad("clusterIP", "10.96.0.256"), ["Service default/bad: spec.clusterIP", "10.96.0.256"]),
        (bad("ports", "http"), ["Service default/bad: spec.ports: "]),
        (bad("ports", [{"name": "http", "port": "80"}]), ["Service default/bad: spec.ports[0].port: "]),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bad"}, "spec": []}, ["bad: spec: "]),
        ({"apiVersion": "v1", "kind": "Service", "spec": {}}, ["Service", "metadata"]),
    ],
    ids=["type", "address", "ports", "port", "spec", "metadata"],
)
def test_a_wrong_field_is_named_with_file_and_object(world, broken, parts):
    """In a file with good objects before and behind it."""
    world.write("mixed.yaml", service("before", "10.96.0.51"), broken, service("behind", "10.96.0.52"))
    assert f"{world.folder}/mixed.yaml:" in world.says("mixed.yaml", *parts)
    assert world.addresses("before") == ["10.96.0.51"]
    assert world.addresses("behind") == ["10.96.0.52"]


def test_an_object_that_turns_bad_keeps_its_last_good_version(world):
    world.write("web.yaml", bad("clusterIP", 5, "web"), service("other", "10.96.0.41"))
    world.says("Service default/web: spec.clusterIP: ", "its last good version stays")
    assert (world.addresses("web"), world.addresses("other")) == (["10.96.0.20"], ["10.96.0.41"])


def test_endpoints_with_no_addresses(world):
    crowd = endpoints("crowd", "10.1.0.1", "10.1.0.2")
    crowd["endpoints"].insert(1, {"addresses": []})
    world.write("crowd.yaml", service("crowd", "None"), crowd)
    world.says("crowd.yaml", "EndpointSlice default/crowd-1: endpoints[1].addresses: ")
    assert world.addresses("crowd") == ["10.1.0.1", "10.1.0.2"]


def test_two_services_on_one_address(world):
    world.write("twin.yaml", service("twin", "10.96.0.20"))
    line = world.says("twin.yaml", "Service default/")
    assert "default/twin" in line
    assert "default/web" in line
    assert world.addresses("web") == world.addresses("twin") == ["10.96.0.20"]
    reply = world.client.ask("20.0.96.10.in-addr.arpa.", "PTR")
    assert sorted(str(target) for target in reply.answer[0]) == [f"twin.{ZONE}", f"web.{ZONE}"]


def test_a_path_that_cannot_be_read_is_named_and_waited_for(tmp_path):
    """Until it was there once, a name that it could have is not denied."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "web.yaml").write_text(documents(namespace(), service("web")))
    with started(tmp_path, "here", "later") as world:
        world.says(f"{tmp_path}/later: cannot be read: No such file or directory")
        assert world.addresses("web") == ["10.96.0.20"]
        assert world.rcode("late") == "SERVFAIL"
        (tmp_path / "later").mkdir()
        assert eventually(lambda: world.rcode("late") == "NXDOMAIN")
        (tmp_path / "later" / "late.yaml").write_text(documents(service("late", "10.96.0.60")))
        assert world.shows("late", "10.96.0.60")
        shutil.rmtree(tmp_path / "later")
        world.says(f"{tmp_path}/later: cannot be read", "stays")
        assert world.addresses("late") == ["10.96.0.60"]


def test_a_file_in_the_directory_that_cannot_be_read(world):
    (world.folder / "dangling.yaml").symlink_to(world.folder / "nowhere")
    world.says("dangling.yaml: cannot be read: No such file or directory")
    world.write("web.yaml", service("web", "10.96.0.24"))
    assert world.shows("web", "10.96.0.24")


def test_a_complaint_is_made_once(world):
    world.write("bad.yaml", bad("clusterIP", 5))
    world.says("Service default/bad")
    # Two more scans at least have looked at it when two more changes are served
    for address in ("10.96.0.25", "10.96.0.26"):
        world.write("web.yaml", service("web", address))
        assert world.shows("web", address)
    world.says("Service default/bad")


def test_open_connections_see_the_change(world):
    sock = world.client.tcp()
    sock.settimeout(5)

    def address():
        query = dns.message.make_query(f"web.{ZONE}", "A").to_wire()
        sock.sendall(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big")
        (rrset,) = dns.message.from_wire(sock.recv(size, socket.MSG_WAITALL)).answer
        return rrset[0].address

    assert address() == "10.96.0.20"
    world.write("web.yaml", service("web", "10.96.0.27"))
    assert eventually(lambda: address() == "10.96.0.27")

"""Scans of one directory: what is served, what is said, what stays."""

import os

import pytest

from clusterdns.sources.complaints import MAX_LENGTH, MAX_LINES
from clusterdns.sources.manifests import RACY_NS, Manifests
from tests.sources.objects import as_list, documents, endpoints, namespace, service

BROKEN = "kind: Service\n bad: indent\n"


def test_new_changed_and_vanished_objects_become_events(directory):
    directory.write("a.yaml", documents(service("web", "10.0.0.1"), service("api", "10.0.0.2")))
    assert directory.events() == ["Upsert default", "Upsert web", "Upsert api", "Synced"]
    assert directory.events() == []
    directory.write("a.yaml", documents(service("web", "10.0.0.9"), service("shop", "10.0.0.3")))
    assert directory.events() == ["Delete api", "Upsert web", "Upsert shop"]
    directory.remove("a.yaml")
    assert directory.events() == ["Delete web", "Delete shop"]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("# a comment\n" + documents(service("web", app="web")), []),
        (as_list(service("web", app="web")), []),
        (documents({**service("web", app="web"), "status": {"loadBalancer": {}}}), []),
        (documents(service("web", app="other")), ["Upsert web"]),
        (documents(service("web", "10.0.0.1", app="web")), ["Upsert web"]),
    ],
)
def test_only_a_change_of_dns_content_or_labels_is_an_event(directory, text, events):
    directory.write("a.yaml", documents(service("web", app="web")))
    directory.events()
    directory.write("a.yaml", text)
    assert directory.events() == events


def test_a_slice_that_loses_its_service_is_gone(directory):
    directory.write("a.yaml", documents(endpoints("web", "10.0.0.1")))
    directory.events()
    orphan = endpoints("web", "10.0.0.1")
    orphan["metadata"]["labels"] = {}
    directory.write("a.yaml", documents(orphan))
    assert directory.events() == ["Delete web-1"]


@pytest.mark.parametrize("text", [BROKEN, "", "\x00", "[" * 1000, "kind: List\nitems: x\n"])
def test_a_file_that_cannot_be_parsed_keeps_its_last_good_state(directory, text):
    directory.write("a.yaml", documents(service("web", "10.0.0.1")))
    assert directory.complaints() == []
    directory.write("a.yaml", text)
    (complaint,) = directory.complaints()
    assert complaint.startswith("a.yaml:")
    assert complaint.endswith("; its last good state stays")
    assert directory.addresses("web") == ["10.0.0.1"]
    assert directory.complaints() == []
    directory.write("a.yaml", documents(service("web", "10.0.0.2")))
    assert directory.complaints() == ["a.yaml: is good again"]
    assert directory.addresses("web") == ["10.0.0.2"]
    assert directory.complaints() == []


def test_a_parse_error_names_line_and_column(directory):
    directory.write("a.yaml", BROKEN)
    (complaint,) = directory.complaints()
    assert complaint.startswith("a.yaml:2:5: mapping values are not allowed")


def test_a_complaint_that_changes_is_said_again(directory):
    directory.write("a.yaml", BROKEN)
    directory.complaints()
    directory.write("a.yaml", "\n" + BROKEN)
    (complaint,) = directory.complaints()
    assert complaint.startswith("a.yaml:3:5: ")


def test_a_broken_file_that_is_removed_takes_its_objects_with_it_and_is_not_called_good(directory):
    directory.write("a.yaml", documents(service("web")))
    directory.complaints()
    directory.write("a.yaml", BROKEN)
    directory.complaints()
    directory.remove("a.yaml")
    assert directory.complaints() == []
    assert directory.addresses("web") == []


@pytest.mark.parametrize(("name", "text"), [("a.yaml", documents), ("a.json", as_list)])
def test_an_object_that_cannot_be_used_keeps_its_own_last_good_version(directory, name, text):
    directory.write(name, text(service("web", "10.0.0.1"), service("api", "10.0.0.2")))
    directory.complaints()
    directory.write(name, text(service("web", 5), service("api", "10.0.0.3"), service("new", "10.0.0.4")))
    (complaint,) = directory.complaints()
    assert complaint.startswith(name)
    assert "Service default/web: spec.clusterIP: " in complaint
    assert complaint.endswith("; its last good version stays")
    served = [directory.addresses(service_name) for service_name in ("web", "api", "new")]
    assert served == [["10.0.0.1"], ["10.0.0.3"], ["10.0.0.4"]]
    directory.write(name, text(service("web", "10.0.0.9")))
    assert directory.complaints() == [f"{name}: is good again"]
    assert directory.addresses("web") == ["10.0.0.9"]


def test_an_object_that_never_was_good_is_not_served(directory):
    directory.write("a.yaml", documents(service("web", 5)))
    (complaint,) = directory.complaints()
    assert complaint.endswith("; it is not served")
    assert directory.addresses("web") == []


def test_a_broken_object_that_is_removed_is_gone(directory):
    directory.write("a.yaml", documents(service("web"), service("api", "10.0.0.2")))
    directory.events()
    directory.write("a.yaml", documents(service("web", 5), service("api", "10.0.0.2")))
    assert directory.events() == []
    directory.write("a.yaml", documents(service("api", "10.0.0.2")))
    assert directory.events() == ["Delete web"]


def test_a_part_that_cannot_be_used_is_named_with_its_file(directory):
    directory.write("a.yaml", documents(endpoints("web", "10.0.0.1", "nowhere")))
    (complaint,) = directory.complaints()
    assert complaint.startswith("a.yaml:2: EndpointSlice default/web-1: endpoints[1].addresses[0]: 'nowhere'")


def test_the_last_of_two_files_with_the_same_object_wins_until_it_loses_it(directory):
    directory.write("a.yaml", documents(service("web", "10.0.0.1")))
    directory.write("b.yaml", documents(service("web", "10.0.0.2")))
    (complaint,) = directory.complaints()
    assert complaint.startswith("b.yaml: Service default/web: metadata.name: is in a.yaml too")
    assert directory.addresses("web") == ["10.0.0.2"]
    directory.write("a.yaml", documents(service("web", "10.0.0.3")))
    assert directory.events() == []
    directory.write("b.yaml", "---\n")
    assert directory.complaints() == ["Service default/web: is good again"]
    assert directory.addresses("web") == ["10.0.0.3"]


def test_two_services_with_one_address_are_named_and_both_served(directory):
    directory.write("a.yaml", documents(service("web", "10.0.0.1")))
    directory.write("b.yaml", documents(service("api", "10.0.0.1")))
    (complaint,) = directory.complaints()
    assert complaint == (
        "b.yaml: Service default/api: spec.clusterIPs: has an address of Service default/web (a.yaml); "
        "both are served, give each its own"
    )
    assert directory.addresses("web") == directory.addresses("api") == ["10.0.0.1"]
    directory.write("b.yaml", documents(service("api", "10.0.0.2")))
    assert directory.complaints() == ["Service default/web and Service default/api: is good again"]


def test_an_undeclared_namespace_is_named_once(directory):
    directory.write("a.yaml", documents(service("web", "10.0.0.1", "shop"), service("api", "10.0.0.2", "shop")))
    assert directory.complaints() == [
        "a.yaml: Service shop/web: metadata.namespace: Namespace shop is not declared, its names are NXDOMAIN; "
        "add a Namespace object"
    ]
    directory.write("b.yaml", documents(namespace("shop")))
    assert directory.complaints() == ["Namespace shop: is good again"]


def test_what_is_said_in_one_scan_is_bounded(directory):
    directory.write("a.yaml", documents(*(service(f"s{n}", "x" * 5000) for n in range(MAX_LINES + 7))))
    lines = directory.manifests.scan().complaints
    assert len(lines) == MAX_LINES + 1
    assert max(map(len, lines)) == MAX_LENGTH
    assert lines[-1] == "7 more complaints are not shown; mend these first"


def _rewrite(directory, text, mtime):
    directory.write("a.yaml", text)
    os.utime(directory.path / "a.yaml", ns=(mtime, mtime))


def test_a_file_at_rest_is_not_read_again(directory):
    directory.manifests = Manifests([str(directory.path)], clock=lambda: RACY_NS + 1)
    _rewrite(directory, documents(service("web", "10.0.0.1")), 0)
    directory.events()
    _rewrite(directory, documents(service("web", "10.0.0.2")), 0)
    assert directory.events() == []
    _rewrite(directory, documents(service("web", "10.0.0.2")), 1)
    assert directory.events() == ["Upsert web"]


def test_a_file_changed_twice_within_one_tick_of_its_file_system_is_noticed(directory):
    directory.manifests = Manifests([str(directory.path)], clock=lambda: RACY_NS)
    _rewrite(directory, documents(service("web", "10.0.0.1")), 0)
    directory.events()
    _rewrite(directory, documents(service("web", "10.0.0.2")), 0)
    assert directory.events() == ["Upsert web"]

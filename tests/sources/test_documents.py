"""Bytes of one file -> objects and faults."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clusterdns.errors import SourceError
from clusterdns.kube.objects import Kind
from clusterdns.sources.documents import read
from clusterdns.sources.syntax import MAX_DEPTH
from tests.sources.objects import as_list, documents, endpoints, namespace, service

WEB = (Kind.SERVICE, "default", "web")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("f.yaml", documents(service("web"))),
        ("f.yml", as_list(service("web"))),
        ("f.json", as_list(service("web"))),
        ("f.json", as_list(service("web")).replace('"kind": "Service", ', "").replace("List", "ServiceList")),
        ("f.yaml", yaml.safe_dump(service("web"))),
        ("no-suffix", documents(service("web"))),
        ("f.json", "\ufeff" + documents(service("web"))[4:]),
        ("f.yaml", "\ufeff" + documents(service("web"))),
        ("f.yaml", "# only a comment\n---\n---\n" + documents(service("web")) + "---\n"),
        ("f.yaml", documents(service("web"), {"kind": "Deployment"}, {"kind": "ConfigMap", "data": {}})),
        ("f.json", as_list({"kind": "Deployment", "items": 5}, service("web"))),
        ("f.yaml", documents(service("web"), {**service("web", "1.1.1.1"), "apiVersion": "serving.knative.dev/v1"})),
    ],
)
def test_finds_the_service_whatever_surrounds_it(path, text):
    found = read(path, text.encode())
    assert list(found.objects) == [WEB]
    assert found.objects[WEB].object.addresses == (bytes([10, 96, 0, 20]),)
    assert not found.faults


def test_yaml_and_json_give_the_same_objects():
    objects = namespace(), service("web", app="web"), endpoints("web", "10.0.0.1", "10.0.0.2")
    from_yaml, from_json = read("f.yaml", documents(*objects).encode()), read("f.json", as_list(*objects).encode())
    assert from_yaml.objects == from_json.objects
    assert len(from_yaml.objects) == 3


@pytest.mark.parametrize(
    ("path", "raw", "where"),
    [
        ("f.yaml", b"", "f.yaml:1:1: the file is empty"),
        ("f.yaml", b"a: b\n c: d\n", "f.yaml:2:3: mapping values are not allowed"),
        ("f.yaml", b"a: [1,\n", "f.yaml:2:1: "),
        ("f.yaml", b"a: b\n---\na: *nowhere\n", "f.yaml:3:4: found undefined alias"),
        ("f.yaml", b"kind: Service\nx: \xff\n", "f.yaml:2:4: this is not UTF-8"),
        ("f.yaml", "é: 1\nüü: \x00".encode(), "f.yaml:2:5: control characters"),
        ("f.yaml", b"\n\na: !!bool maybe\n", "f.yaml:3:1: this document holds a value"),
        ("f.yaml", b"a: !mine x\n", "f.yaml:1:4: could not determine a constructor"),
        ("f.yaml", b"[" * (MAX_DEPTH + 1), f"f.yaml:1:{MAX_DEPTH + 1}: nests deeper"),
        ("f.yaml", b"[" * 1_000_000, f"f.yaml:1:{MAX_DEPTH + 1}: nests deeper"),
        ("f.yaml", b"kind: List\nitems: 5\n", "f.yaml:1: items: has to be a list"),
        ("f.json", b"", "f.json:1:1: the file is empty"),
        ("f.json", b'{"kind": "List",\n "items": [nul]}', "f.json:2:13: JSON is malformed"),
        ("f.json", b'{"kind": "List",\n', "f.json:2:1: Input data was truncated"),
        ("f.json", b'{"kind": "Pod"}\n{"kind": "Pod"}', "f.json:2:2: JSON is malformed: trailing"),
        ("f.json", b'{"a": "\xff"}', "f.json:1:8: this is not UTF-8"),
        ("f.json", b'{"kind":' + b"[" * 1_000_000, "f.json:1:1: nests too deep"),
        ("f.json", b'{"kind": "List", "items": {}}', "f.json: items: has to be a list"),
        # Not one object that is wrong, but something else where objects were
        ("f.yaml", b"# \n---\n- 1\n", "f.yaml:3: is no object"),
        ("f.json", b"[]", "f.json: is no object"),
    ],
)
def test_text_that_cannot_be_parsed_is_named_by_line_and_column(path, raw, where):
    with pytest.raises(SourceError) as caught:
        read(path, raw)
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize(
    ("path", "text", "fault", "own"),
    [
        ("f.yaml", "a: 1\n", "f.yaml:1: kind: is missing", None),
        ("f.yaml", "kind: [1]\n", "f.yaml:1: kind: is missing or no text", None),
        ("f.json", as_list({"metadata": {}}), "f.json: items[0]: kind: is missing", None),
        ("f.json", '{"kind": "List", "items": [5]}', "f.json: items[0]: is no object", None),
        ("f.yaml", "kind: Service\n", "f.yaml:1: Service without metadata", None),
        ("f.yaml", "kind: Service\nmetadata: {name: [1]}\n", "f.yaml:1: Service default/[1]: metadata.name", None),
        ("f.yaml", documents(service("web", 5)), "f.yaml:2: Service default/web: spec.clusterIP: expected", WEB),
        ("f.json", as_list(service("web", 5)), "f.json: items[0]: Service default/web: spec.clusterIP: exp", WEB),
        ("f.json", as_list(service("web", "10.1")), "f.json: items[0]: Service default/web: spec.clusterIP", WEB),
        (
            "f.yaml",
            documents(namespace("UPPER")),
            "f.yaml:2: Namespace UPPER: metadata.name",
            (Kind.NAMESPACE, "", "UPPER"),
        ),
    ],
)
def test_an_object_that_cannot_be_used_is_named(path, text, fault, own):
    found = read(path, text.encode())
    (only,) = found.faults
    assert only.text.startswith(fault)
    assert only.identity == own
    assert not found.objects


@pytest.mark.parametrize(("path", "text"), [("f.yaml", documents), ("f.json", as_list)])
def test_the_other_objects_of_the_file_are_served(path, text):
    found = read(path, text(namespace(), service("bad", 5), service("web")).encode())
    assert list(found.objects) == [(Kind.NAMESPACE, "", "default"), WEB]
    assert len(found.faults) == 1


def test_a_remark_about_a_part_of_an_object_is_a_fault_and_the_rest_is_served():
    found = read("f.json", as_list(endpoints("web", "10.0.0.1", "nowhere")).encode())
    (fault,) = found.faults
    assert fault.text.startswith("f.json: items[0]: EndpointSlice default/web-1: endpoints[1].addresses[0]: 'nowhere'")
    assert fault.identity is None
    assert [upsert.object.every()[0].address for upsert in found.objects.values()] == [bytes([10, 0, 0, 1])]


def test_an_object_twice_in_one_file_is_named_and_the_last_is_served():
    found = read("f.yaml", documents(service("web", "10.0.0.1"), service("web", "10.0.0.2")).encode())
    assert found.objects[WEB].object.addresses == (bytes([10, 0, 0, 2]),)
    assert [fault.text for fault in found.faults] == [
        "f.yaml:4: Service default/web: metadata.name: is in this file twice; the last one is served"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "metadata: {name: web, namespace: default, creationTimestamp: 2026-01-31T10:00:00Z}",
        "metadata: {name: web, namespace: default, creationTimestamp: 2026-13-99}",
        "metadata: {name: web, namespace: default, labels: {since: 2026-01-31, at: 12:30:45, is: =}}",
        "metadata: &m {name: web, namespace: default}\nother: *m",
        "x: &x {name: web}\nmetadata: {<<: *x, namespace: default}",
    ],
)
def test_what_yaml_makes_of_plain_text_breaks_nothing(text):
    found = read("f.yaml", f"kind: Service\n{text}\nspec: {{clusterIP: 10.96.0.20}}\n".encode())
    assert list(found.objects) == [WEB]
    assert not found.faults


def test_an_address_of_decimal_groups_is_not_a_number_of_base_60():
    text = "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: 2001:10:20:30:40:50:1:2\n"
    (upsert,) = read("f.yaml", text.encode()).objects.values()
    assert upsert.object.addresses[0].hex(":", 2) == "2001:0010:0020:0030:0040:0050:0001:0002"


def _bomb(begin, again):
    """Each line is ten times the one before."""
    lines = [f"l0: &l0 {begin}"]
    lines += [f"l{n}: &l{n} {again.format(', '.join([f'*l{n - 1}'] * 10))}" for n in range(1, 12)]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (_bomb("[x]", "[{}]"), "f.yaml:7:"),
        (_bomb("{a: x}", "{{<<: [{}]}}"), "f.yaml:7:"),
        ("kind: Service\nmetadata: &m {name: web, deletionTimestamp: *m}\n", "f.yaml:2:"),
    ],
)
def test_aliases_that_grow_without_bound_are_refused(text, where):
    with pytest.raises(SourceError, match="aliases make this file grow") as caught:
        read("f.yaml", text.encode())
    assert str(caught.value).startswith(where)


_SCRAPS = (
    st.sampled_from("[]{},~=ü\x00\n")
    | st.sampled_from(["  ", ": ", "- ", "---\n", "&a ", "*a", "<<: ", "!!int ", "!!set ", "0b_", "2026-99-99"])
    | st.sampled_from(["kind: Service", "kind: List", "metadata: ", "name: a", "items: ", "spec: ", '"kind"', '"List"'])
)


@given(st.sampled_from(["f.yaml", "f.json"]), st.lists(_SCRAPS).map("".join).map(str.encode) | st.binary())
def test_any_bytes_raise_nothing_but_a_source_error(path, raw):
    try:
        found = read(path, raw)
    except SourceError:
        return
    assert all(fault.text.startswith(path) for fault in found.faults)

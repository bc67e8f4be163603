"""config/ builds, is valid, fits its Corefile and the code, and leaves alone what a cluster has already."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from clusterdns import __version__, cli
from clusterdns.kube.objects import Kind
from clusterdns.plugins.build import Config
from clusterdns.roles.load import load
from clusterdns.settings import Settings
from clusterdns.sources.resources import RESOURCES
from clusterdns.sources.snapshot import MAX_BYTES
from tests.corefile.files import Files
from tests.support.process import ROOT

Object = dict[str, Any]

CONFIG = ROOT / "config"
REPLACE, BESIDE, KIND = "overlays/kubeadm-replace", "overlays/beside", "overlays/kind"
DEPLOYED = ("base", REPLACE, BESIDE, KIND)
COMPONENTS = tuple(f"components/{path.name}" for path in sorted((CONFIG / "components").iterdir()))
PAGES = [ROOT / "docs" / name for name in ("install.md", "migrate-from-coredns.md", "operate.md")]
# The oldest of which there is a schema, and the newest
VERSIONS = ("1.25", kubernetes_validate.latest_version())
# Octets for the last good Corefile, beside the snapshot
STATE = 1 << 20


@cache
def built(name: str) -> tuple[Object, ...]:
    """The objects of a directory below config/, as `kubectl apply -k` would send them."""
    return kubectl(CONFIG / name)


def kubectl(directory: Path) -> tuple[Object, ...]:
    command = ["kubectl", "kustomize", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Components need kubectl 1.21
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def built_as(text: str, place: Path) -> tuple[Object, ...]:
    """A kustomization as it would be in config/overlays/NAME."""
    (place / "kustomization.yaml").write_text(text.replace("../../", f"{os.path.relpath(CONFIG, place)}/"))
    (place / "Corefile").write_text(COREFILE)
    return kubectl(place)


def one(objects: tuple[Object, ...], kind: str) -> Object:
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def names(objects: tuple[Object, ...]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


def pod(objects: tuple[Object, ...]) -> Object:
    return one(objects, "Deployment")["spec"]["template"]


def container(objects: tuple[Object, ...]) -> Object:
    (found,) = pod(objects)["spec"]["containers"]
    return found


def config(text: str) -> Config:
    """A Corefile as `check` loads it."""
    return load(Settings(text=text), Files({"/etc/resolv.conf": "nameserver 192.0.2.53\n"}), lambda _: None)


def allowed(objects: tuple[Object, ...]) -> set[tuple[str, str]]:
    """API groups and resources; the verbs are list and watch."""
    rules = one(objects, "ClusterRole")["rules"]
    assert all(rule["verbs"] == ["list", "watch"] and rule.keys() == rules[0].keys() for rule in rules)
    return {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]}


def wanted(*kinds: Kind) -> set[tuple[str, str]]:
    return {(RESOURCES[kind].group, RESOURCES[kind].name) for kind in kinds}


ORDINARY = wanted(*(kind for kind in RESOURCES if kind is not Kind.POD))
STOCK = tuple(yaml.safe_load_all((ROOT / "tests/kubeadm/coredns.yaml").read_text()))
COREFILE = one(built("base"), "ConfigMap")["data"]["Corefile"]
EXAMPLE = (ROOT / "Corefile.example").read_text()


# It is valid


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", DEPLOYED)
def test_every_object_is_valid(name, version):
    for each in built(name):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("on", DEPLOYED)
def test_a_component_goes_with_everything(name, on, tmp_path):
    objects = built_as(f"resources: [../../{on}]\ncomponents: [../../{name}]\n", tmp_path)
    for version in VERSIONS:
        for each in objects:
            kubernetes_validate.validate(each, version, strict=True)
    assert objects != built(on)


def test_the_stock_manifest_is_valid():
    for each in STOCK:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


# It fits the Corefile and the code


def times(objects: tuple[Object, ...]) -> tuple[int, int]:
    """Seconds: how long a pod may take to end, and until readiness is lost."""
    probe = container(objects)["readinessProbe"]
    grace = pod(objects)["spec"].get("terminationGracePeriodSeconds", 30)
    return grace, probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


@pytest.mark.parametrize(
    ("objects", "text"),
    [(built("base"), COREFILE), (built(REPLACE), EXAMPLE), (built(BESIDE), EXAMPLE), (built(KIND), EXAMPLE)],
    ids=DEPLOYED,
)
def test_a_pod_has_time_to_end(objects, text):
    (lameduck,) = config(text).shared.process.health.values()
    grace, noticed = times(objects)
    assert lameduck > 0
    assert grace > lameduck + noticed


@pytest.mark.parametrize(
    ("objects", "text"), [(built("base"), COREFILE), (built(REPLACE), EXAMPLE), (STOCK, EXAMPLE)], ids=str
)
def test_probes_and_ports_are_those_of_the_corefile(objects, text):
    loaded, found = config(text), container(objects)
    process = loaded.shared.process
    paths = {"livenessProbe": ("/health", process.health), "readinessProbe": ("/ready", process.ready)}
    for name, (path, addresses) in paths.items():
        probe = found[name]["httpGet"]
        assert probe["path"] == path
        assert ("", probe["port"]) in addresses
    ports = {(each["containerPort"], each["protocol"]) for each in found["ports"]}
    assert {(listener.port, protocol) for listener in loaded.listeners for protocol in ("UDP", "TCP")} <= ports
    metrics = re.findall(r"^\s*prometheus :(\d+)$", text, re.MULTILINE)
    assert [(int(port), "TCP") in ports for port in metrics] == [True]


@pytest.mark.parametrize("objects", [built("base"), built(BESIDE), STOCK], ids=["base", BESIDE, "stock"])
def test_the_service_leads_to_ports_of_the_pods(objects):
    spec = one(objects, "Service")["spec"]
    there = {(each["containerPort"], each["protocol"]) for each in container(objects)["ports"]}
    assert {(each["targetPort"], each["protocol"]) for each in spec["ports"]} <= there
    assert {(53, "UDP"), (53, "TCP")} <= {(each["port"], each["protocol"]) for each in spec["ports"]}
    assert spec["selector"].items() <= pod(objects)["metadata"]["labels"].items()


@pytest.mark.parametrize("name", DEPLOYED)
def test_its_rights_are_exactly_what_is_listed_and_watched(name):
    assert allowed(built(name)) == ORDINARY
    subject = one(built(name), "ClusterRoleBinding")["subjects"][0]
    assert subject == {"kind": "ServiceAccount", "name": "clusterdns", "namespace": "kube-system"}
    assert pod(built(name))["spec"]["serviceAccountName"] == "clusterdns"


def test_pods_verified_has_a_component_with_its_rights(tmp_path):
    objects = built_as("resources: [../../base]\ncomponents: [../../components/pods-verified]\n", tmp_path)
    assert allowed(objects) == ORDINARY | wanted(Kind.POD)


def test_the_corefile_is_the_stock_one_with_a_longer_lameduck_and_a_snapshot():
    ours, stock = (re.findall(r"^ *([^#\s].*)$", text, re.MULTILINE) for text in (COREFILE, EXAMPLE))
    assert [line for line in ours if line not in stock] == [
        "lameduck 30s",
        "snapshot /var/lib/clusterdns/cluster.snapshot",
    ]
    assert [line for line in stock if line not in ours] == ["lameduck 5s"]


def test_the_volume_holds_two_snapshots():
    """The old one stays until the new one is complete; a pod that goes beyond the limit is evicted."""
    (source,) = {spec for spec, _ in config(COREFILE).shared.stores}
    spec, found = pod(built("base"))["spec"], container(built("base"))
    (volume,) = (each for each in spec["volumes"] if "emptyDir" in each)
    (mount,) = (each for each in found["volumeMounts"] if each["name"] == volume["name"])
    assert mount["mountPath"] == str(Path(source.snapshot).parent) == cli.DEFAULT_STATE
    (mebibytes,) = re.findall(r"^(\d+)Mi$", volume["emptyDir"]["sizeLimit"])
    assert int(mebibytes) << 20 >= 2 * MAX_BYTES + STATE


def test_the_image_is_that_of_this_version():
    assert [container(built(name))["image"] for name in ("base", REPLACE)] == [f"clusterdns:{__version__}"] * 2
    found = container(built(KIND))
    assert (found["image"], found["imagePullPolicy"]) == ("clusterdns:kind", "Never")


# It keeps answering, and may do nothing else


@pytest.mark.parametrize("name", DEPLOYED)
def test_an_update_takes_no_pod_away_before_its_successor_answers(name):
    spec = one(built(name), "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["minReadySeconds"] > 0
    budget = one(built(name), "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, spec["selector"])


@pytest.mark.parametrize("name", DEPLOYED)
def test_replicas_spread_and_still_fit_on_one_node(name):
    spread = pod(built(name))["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    selector = one(built(name), "Deployment")["spec"]["selector"]
    assert all((each["whenUnsatisfiable"], each["labelSelector"]) == ("ScheduleAnyway", selector) for each in spread)
    assert "affinity" not in pod(built(name))["spec"]


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_pod_may_do_nothing_but_serve(name):
    spec, own = pod(built(name))["spec"], container(built(name))["securityContext"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "53"}],
    }
    assert own == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert spec.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"})


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_pod_is_placed_and_limited_as_a_stock_one(name):
    spec, stock = pod(built(name))["spec"], pod(STOCK)["spec"]
    for key in ("priorityClassName", "tolerations", "nodeSelector", "dnsPolicy"):
        assert spec[key] == stock[key], key
    for key in ("args", "resources"):
        assert container(built(name))[key] == container(STOCK)[key], key


# It leaves alone what is there


@pytest.mark.parametrize("name", [REPLACE, BESIDE, KIND])
def test_an_overlay_for_a_cluster_with_coredns_has_nothing_that_is_there(name):
    """So that applying it changes nothing of CoreDNS, and deleting it takes nothing away."""
    assert names(built(name)) & names(STOCK) == set()
    assert not any("clusterIP" in each.get("spec", {}) for each in built(name))


@pytest.mark.parametrize("name", DEPLOYED)
def test_neither_deployment_selects_pods_of_the_other(name):
    """A ReplicaSet adds a hash to the selector, which saves what is called the same; other things look at labels."""
    selector = one(built(name), "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= pod(STOCK)["metadata"]["labels"].items()


@pytest.mark.parametrize("name", DEPLOYED)
def test_kubeadm_finds_one_deployment_of_its_label(name):
    """`kubeadm upgrade` gives up when it finds two."""
    assert one(STOCK, "Deployment")["metadata"]["labels"] == {"k8s-app": "kube-dns"}
    assert "k8s-app" not in one(built(name), "Deployment")["metadata"]["labels"]


def test_the_pods_join_the_service_that_is_there():
    service, labels = one(STOCK, "Service")["spec"], pod(built(REPLACE))["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    there = {(each["containerPort"], each["protocol"]) for each in container(built(REPLACE))["ports"]}
    assert {(each["targetPort"], each["protocol"]) for each in service["ports"]} <= there


def test_the_pods_beside_get_no_client_of_coredns():
    selector = one(STOCK, "Service")["spec"]["selector"]
    assert not selector.items() <= pod(built(BESIDE))["metadata"]["labels"].items()


def test_both_read_one_corefile():
    (theirs,) = pod(STOCK)["spec"]["volumes"]
    assert theirs["configMap"] in [each.get("configMap") for each in pod(built(REPLACE))["spec"]["volumes"]]


def test_the_base_never_writes_the_address_of_the_service():
    assert "clusterIP" not in one(built("base"), "Service")["spec"]
    assert names(built("base")) & names(STOCK) == {("Service", "kube-dns")}


# The stock manifest, with another image


def test_its_arguments_are_taken(capsys):
    assert cli.main([*container(STOCK)["args"], "-version"]) == 0
    assert capsys.readouterr().out == f"clusterdns-{__version__}\n"


def test_its_corefile_is_good(tmp_path, capsys):
    """From where its arguments say that it is mounted."""
    flag, path = container(STOCK)["args"]
    (mount,) = container(STOCK)["volumeMounts"]
    (volume,) = pod(STOCK)["spec"]["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], str(Path(path).parent))
    assert volume["configMap"]["items"] == [{"key": "Corefile", "path": Path(path).name}]
    corefile, resolv = tmp_path / "Corefile", tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\n")
    corefile.write_text(EXAMPLE.replace("/etc/resolv.conf", str(resolv)))
    assert cli.main(["check", flag, str(corefile)]) == 0
    assert capsys.readouterr().out == f"{corefile} is good: it serves .:53\n"


def test_its_rights_are_enough_even_for_verified_pods():
    assert ORDINARY | wanted(Kind.POD) <= allowed(STOCK)


def test_it_gives_the_pod_time_to_end():
    (lameduck,) = config(EXAMPLE).shared.process.health.values()
    assert times(STOCK)[0] > lameduck


def test_it_leaves_the_one_capability_that_the_image_can_use():
    """tests/test_container.py runs it so."""
    own = container(STOCK)["securityContext"]
    assert own["capabilities"] == {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}
    assert own["readOnlyRootFilesystem"]


# The pages


def shown(page: Path) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


KUSTOMIZATIONS = [text for page in PAGES for text in shown(page) if "\nkind: Kustomization\n" in text]
COMMANDS = [line for page in PAGES for text in shown(page) for line in text.splitlines() if re.match("kubectl ", line)]


@pytest.mark.parametrize("text", KUSTOMIZATIONS)
def test_a_kustomization_in_a_page_builds(text, tmp_path):
    for each in built_as(text, tmp_path):
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


def test_commands_in_pages_name_what_there_is():
    directories = {path for line in COMMANDS for path in re.findall(r" -k (\S+)", line)}
    assert directories == {f"config/{name}" for name in (REPLACE, KIND, "overlays/mine")}
    objects = {each for line in COMMANDS for each in re.findall(r"\b(deployment|service|configmap)/(\S+)", line)}
    known = {(kind.lower(), name) for place in (*map(built, DEPLOYED), STOCK) for kind, name in names(place)}
    # That one kubeadm makes for kubelets
    assert objects - known == {("configmap", "kubelet-config")}


def test_what_is_saved_before_can_be_applied_again(tmp_path):
    """An object with the version or the identity that it had then would be refused."""
    (line,) = (each for each in COMMANDS if each.endswith("> before.yaml"))
    lived = [{**each, "metadata": {**each["metadata"], "resourceVersion": "17", "uid": "a-b"}} for each in STOCK]
    (tmp_path / "live.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": lived}))
    script = f"cat live.yaml | {line.partition(' | ')[2]}"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, timeout=10)
    saved = yaml.safe_load((tmp_path / "before.yaml").read_text())
    assert saved["items"] == list(STOCK)
    assert "kubectl apply -f before.yaml" in COMMANDS

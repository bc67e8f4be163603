"""The image: the RUN steps of the Dockerfile, run into a directory, and what they make as a pod would run it.

A Python stands in for that of the base image; where the pages say `/usr/local`, a mount namespace has that directory.
"""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import certifi
import pytest

from clusterdns.cli import DEFAULT_STATE
from tests.support.netns import Namespace
from tests.support.process import PROBE, ROOT, Server, eventually

APP = "/usr/local/lib/clusterdns"
ENTRYPOINT = "/usr/local/bin/clusterdns"
COREFILE = "/etc/coredns/Corefile"
STATE = DEFAULT_STATE
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Of no object that there could be: NXDOMAIN from the start, with or without an API server
IMPOSSIBLE = "nosuch.cluster.local."
# What a pod of config/base may do, which has the sysctl instead, and one of kubeadm's manifest
NOTHING, BIND = "-all", "-all,+net_bind_service"
# Seconds: pip may have to fetch what it has not cached
_BUILD = 110.0

_COREFILE = (ROOT / "config/base/Corefile").read_text()
_MANIFESTS = _COREFILE.replace("pods insecure", "manifests /etc/objects").replace("lameduck 30s", "lameduck 0s")


@dataclass(frozen=True, slots=True)
class Image:
    """`root`: what a container has for `/`. `local`: its /usr/local. The host lends the rest of /usr."""

    root: Path
    local: Path

    def start(self, bounding: str, *argv: str, volume: bool = False) -> list[str]:
        """A command that runs `argv` in the image as uid 65532, with no capability beyond these. With `volume` there is
        one place that can be written to, the emptyDir of config/base."""
        root, local = shlex.quote(str(self.root)), shlex.quote(str(self.local))
        limits = f"--reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps -all --bounding-set {bounding}"
        mounts = [
            f"mount --bind {root} {root}",
            f"mount --bind /usr {root}/usr",
            f"mount --bind {local} {root}/usr/local",
            *(f"mount -o remount,ro,bind {root}{path}" for path in ("", "/usr", "/usr/local")),
            f"mount --bind /dev/null {root}/dev/null",
            f"mount -t proc proc {root}/proc",
            *([f"mount -t tmpfs -o mode=0777 tmpfs {root}{STATE}"] if volume else []),
        ]
        # Nobody listens there
        cluster = "KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=1"
        start = f"exec env {cluster} chroot {root} setpriv {limits} {shlex.join(argv)}"
        return ["sh", "-c", " && ".join([*mounts, start])]


class Pod(Server):
    """The image's entry point with the arguments of kubeadm's manifest."""

    def __init__(
        self, image: Image, namespace: Namespace, bounding: str, probe: str = PROBE, volume: bool = False
    ) -> None:
        super().__init__(Path(COREFILE), address=("127.0.0.1", 53), namespace=namespace, probe=probe)
        self._argv = namespace.command(*image.start(bounding, ENTRYPOINT, "-conf", COREFILE, volume=volume))

    def sees(self, path: str) -> Path:
        """A path of its own, from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def status(self, field: str) -> list[str]:
        """proc(5): a line of /proc/PID/status."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return next(line.split()[1:] for line in text.splitlines() if line.startswith(f"{field}:"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    place = tmp_path_factory.mktemp("image")
    found = Image(place / "root", place / "local")
    _python(found.local)
    _root(found.root)
    _run_steps(found, _wheel(place))
    return found


def _python(local: Path) -> None:
    """This Python at another prefix, with pip as the base image has it."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = local / "lib" / name
    needless = shutil.ignore_patterns("site-packages", "dist-packages", "test", "config-*", "__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=needless, symlinks=True)
    shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    if shared.is_file():
        shutil.copy(shared, local / "lib")
    (local / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), local / "bin" / name)
    (local / "bin" / "python3").symlink_to(name)
    pip = importlib.util.find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    shutil.copytree(Path(pip.origin).parent, library / "site-packages" / "pip")


def _root(root: Path) -> None:
    for folder in ("usr", "proc", "dev", "etc/coredns", "var/lib/clusterdns", ACCOUNT[1:]):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "dev" / "null").touch()
    (root / "etc" / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (root / ACCOUNT[1:] / "token").write_text("secret")
    shutil.copy(certifi.where(), root / ACCOUNT[1:] / "ca.crt")
    shutil.copytree(ROOT / "config" / "demo", root / "etc" / "objects")


def _wheel(place: Path) -> Path:
    """Of the files that .dockerignore lets through."""
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in let_in:
        source, copy = ROOT / name, place / "src" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place / "wheel"]
    subprocess.run([*pip, place / "src"], check=True, timeout=_BUILD)
    (wheel,) = (place / "wheel").iterdir()
    return wheel


def _run_steps(image: Image, wheel: Path) -> None:
    """What the Dockerfile runs, with the wheel in place of the checkout."""
    cache = image.root / "etc" / "ld.so.cache"
    pip = image.local.glob("lib/python3.*/site-packages")
    before = [
        f"mount --bind {shlex.quote(str(image.local))} /usr/local",
        f"ldconfig -C {shlex.quote(str(cache))}",
        f"mount --bind {shlex.quote(str(cache))} /etc/ld.so.cache",
        f"export PATH=/usr/local/bin:$PATH PYTHONPATH={shlex.quote(str(next(pip)))}",
    ]
    script = " && ".join([*before, *_steps(wheel)])
    subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd="/", check=True, timeout=_BUILD)


def _steps(wheel: Path) -> list[str]:
    runs = re.findall(r"^RUN (?:--mount=\S+ )?(.*)$", _dockerfile(), re.MULTILINE)
    assert len(runs) == 2
    here = [re.sub(r"(?<!\S)(/src)?/container/", f"{ROOT}/container/", run) for run in runs]
    return [re.sub(r"(?<!\S)/src(?!\S)", str(wheel), run) for run in here]


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", "")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace(addresses=()) as opened:
        yield opened


def dig(namespace: Namespace, *arguments: str) -> list[str]:
    return namespace.run("dig", "@127.0.0.1", "+short", "+tries=1", "+time=5", *arguments).stdout.split()


def kept(pod: Pod) -> set[str]:
    return {path.name for path in pod.sees(STATE).iterdir()}


def inside(image: Image, namespace: Namespace, *argv: str) -> subprocess.CompletedProcess[str]:
    return namespace.run(*image.start(NOTHING, *argv))


# As pods run it


def test_it_serves_without_any_capability_on_a_read_only_root(image, namespace):
    """As config/base has it, but for the volume: there is no path that could be written to."""
    (image.root / COREFILE[1:]).write_text(_MANIFESTS)
    namespace.run("sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=53")
    with Pod(image, namespace, NOTHING) as pod:
        assert pod.status("Uid") == ["65532"] * 4
        assert [pod.status(name) for name in ("CapEff", "CapPrm", "CapBnd")] == [["0" * 16]] * 3
        mounts = [line.split() for line in Path(f"/proc/{pod.pid}/mounts").read_text().splitlines()]
        assert all(options.startswith("ro") for _, path, _, options, *_ in mounts if path not in ("/proc", "/dev/null"))
        assert dig(namespace, "web.default.svc.cluster.local") == ["10.96.0.20"]
        assert dig(namespace, "+tcp", "web.default.svc.cluster.local") == ["10.96.0.20"]


def test_what_it_keeps_is_in_the_volume(image, namespace):
    (image.root / COREFILE[1:]).write_text(_MANIFESTS)
    namespace.run("sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=53")
    with Pod(image, namespace, NOTHING, volume=True) as pod:
        assert eventually(lambda: kept(pod) == {"cluster.snapshot", "corefile.last-good"})
        assert {path.stat().st_uid for path in pod.sees(STATE).iterdir()} == {65532}


def test_it_serves_with_the_one_capability_that_the_stock_manifest_leaves_it(image, namespace):
    """And with the stock Corefile, where there is no API server to be found."""
    (image.root / COREFILE[1:]).write_text((ROOT / "Corefile.example").read_text())
    with Pod(image, namespace, BIND, IMPOSSIBLE) as pod:
        assert [pod.status(name) for name in ("CapEff", "CapBnd")] == [["0000000000000400"]] * 2
        assert "status: NXDOMAIN" in namespace.run("dig", "@127.0.0.1", IMPOSSIBLE).stdout


def test_the_image_checks_a_corefile(image, namespace):
    (image.root / COREFILE[1:]).write_text(_COREFILE)
    assert inside(image, namespace, ENTRYPOINT, "check", "-c", COREFILE).returncode == 0
    (image.root / COREFILE[1:]).write_text(_COREFILE.replace("errors", "erors"))
    assert f"{COREFILE}:3:5" in inside(image, namespace, ENTRYPOINT, "check", "-c", COREFILE).stderr


# What is in it

_IMPORT_ALL = """
import pkgutil, clusterdns
for module in pkgutil.walk_packages(clusterdns.__path__, "clusterdns."):
    if module.name != "clusterdns.__main__":
        __import__(module.name)
print("done")
"""
_KUBECONFIG = """
current-context: here
contexts: [{name: here, context: {cluster: this, user: me}}]
clusters: [{name: this, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: secret}}]
"""
# The cluster that the pod runs in, and the two other ways to an API server
_SOURCES = ("ttl 5", "endpoint http://127.0.0.1:1", "kubeconfig /etc/kubeconfig")


def test_nothing_is_missing_that_a_module_imports(image, namespace):
    done = inside(image, namespace, f"{APP}/bin/python", "-c", _IMPORT_ALL)
    assert done.stdout == "done\n", done.stderr


def test_nothing_is_missing_that_the_ways_to_an_api_server_need(image, namespace):
    """For each of the three resources of each of the three sources it gets as far as to be refused."""
    (image.root / "etc" / "kubeconfig").write_text(_KUBECONFIG)
    blocks = [f"{source.split()[0]}.test:53 {{\nkubernetes {{\n{source}\n}}\n}}\n" for source in _SOURCES]
    (image.root / COREFILE[1:]).write_text("".join(blocks))
    with Pod(image, namespace, BIND, "x.ttl.test.") as pod:
        assert eventually(lambda: pod.output().count("Connection refused") >= 9)
        assert "cannot tell how" not in pod.output()


def test_there_is_no_installer_in_it(image):
    names = {path.name for path in image.local.rglob("*")}
    assert {"pip", "ensurepip", "setuptools", "wheel", "hatchling"} & names == set()
    assert {path.name for path in (image.local / "lib" / "clusterdns" / "bin").iterdir()} == {"python", "clusterdns"}


def test_every_module_is_compiled_and_never_compared_with_its_source(image):
    sources = [path for path in image.local.rglob("*.py") if "lib2to3" not in path.parts]
    assert len(sources) > 500
    for source in sources:
        if source.parent.name == "bin":
            continue
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        # PEP 552: hash-based, and not to be checked
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", compiled


def test_the_unused_parts_of_the_kubernetes_client_are_gone(image):
    (client,) = image.local.glob("lib/clusterdns/lib/python3.*/site-packages/kubernetes")
    size = sum(path.stat().st_size for path in client.rglob("*") if path.is_file())
    # Of 60 MiB, not compiled
    assert size < 4 << 20


# The Dockerfile


def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_dockerfile_pins_one_python_and_ends_as_nobody():
    text = _dockerfile()
    (version,) = re.findall(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"3\.\d+\.\d+-slim-[a-z]+", version)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:${PYTHON}"}
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 65532:65532\n" in last
    assert f'\nENTRYPOINT ["{ENTRYPOINT}"]\n' in last

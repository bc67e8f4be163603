"""The command line as a process: what it serves, what it says of a start that fails, and how it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import pytest

from clusterdns import __version__
from tests.support.netns import Namespace
from tests.support.process import ROOT, START_DEADLINE, STOP_DEADLINE, eventually

PORT = 1053
WHOAMI = "{key} {{\n    {bind}\n    whoami\n}}\n"
DEFAULT_LINES = [f".:{PORT}", f"clusterdns-{__version__}"]


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stderr.splitlines()


class Place:
    """A namespace and a working directory to run `clusterdns` in."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder

    def write(self, text: str, name: str = "Corefile") -> str:
        (self.folder / name).write_text(text)
        return name

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "clusterdns", *arguments]

    def run(self, *arguments: str, prefix: tuple[str, ...] = ()) -> Ended:
        """Run to its end, which must come by itself."""
        argv = self.namespace.command(*prefix, *self.argv(*arguments))
        done = subprocess.run(
            argv, cwd=self.folder, env=self._env(), capture_output=True, text=True, timeout=START_DEADLINE, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator["Running"]:
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            argv = self.namespace.command(*self.argv(*arguments))
            process = subprocess.Popen(argv, cwd=self.folder, env=self._env(), stdout=out, stderr=err)
            try:
                yield Running(self, process)
            finally:
                # Not killed: the next server wants its port, which its other processes would hold for a moment
                process.terminate()
                process.wait()

    def whoami(self, port: int = PORT, host: str = "127.0.0.1") -> bool:
        """Does a server with `whoami` answer there?"""
        query = dns.message.make_query("x.test.", "A")
        try:
            with self.namespace.entered():
                reply = dns.query.udp(query, host, timeout=0.2, port=port)
        except (OSError, dns.exception.DNSException):
            return False
        return any(rrset.rdtype == dns.rdatatype.SRV for rrset in reply.additional)

    def _env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Running:
    place: Place
    process: subprocess.Popen[bytes]

    def stdout(self) -> str:
        return (self.place.folder / "out").read_text()

    def stderr(self) -> str:
        return (self.place.folder / "err").read_text()

    def serves(self, port: int = PORT, host: str = "127.0.0.1") -> None:
        """Wait until it answers `whoami`, or has ended."""
        assert eventually(lambda: self.process.poll() is not None or self.place.whoami(port, host)), self.stdout()
        assert self.process.poll() is None, self.stdout() + self.stderr()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_DEADLINE)


@pytest.fixture(scope="module")
def namespace():
    with Namespace(()) as made:
        yield made


@pytest.fixture
def place(namespace, tmp_path):
    return Place(namespace, tmp_path)


@pytest.mark.parametrize("arguments", [["--version"], ["-version"], ["serve", "--version"], ["serve", "-version"]])
def test_the_version(place, arguments):
    ended = place.run(*arguments)
    assert (ended.code, ended.stdout) == (0, f"clusterdns-{__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-conf", "F", "-dns.port", str(PORT)],
        ["-conf", "F", "-p", str(PORT)],
        ["-conf=F", f"-dns.port={PORT}"],
        ["serve", "-c", "F", "--dns-port", str(PORT)],
        ["serve", "--conf", "F", "-p", str(PORT), "--workers", "0", "--log-level", "warning"],
    ],
    ids=" ".join,
)
def test_a_corefile_and_a_port_in_every_spelling(place, arguments):
    place.write(WHOAMI.format(key="a.test b.test:1054", bind=""), "F")
    with place.running(*arguments) as running:
        assert eventually(lambda: f"clusterdns-{__version__}" in running.stdout())
        assert running.stdout().splitlines()[:2] == [f"a.test.:{PORT}", "b.test.:1054"]


def test_quiet_says_nothing(place):
    place.write(WHOAMI.format(key=".", bind=""))
    with place.running("-quiet", "-p", str(PORT)) as running:
        running.serves()
        assert running.end() == 0
        assert "clusterdns-" not in running.stdout()
        assert running.stderr() == ""


def test_without_c_the_corefile_of_the_directory_is_taken(place):
    place.write(WHOAMI.format(key=f"x.test:{PORT + 1}", bind=""))
    with place.running() as running:
        running.serves(PORT + 1)


def test_without_any_corefile_whoami_and_log_are_served(place):
    with place.running("-p", str(PORT)) as running:
        running.serves()
        assert running.stdout().splitlines()[:2] == DEFAULT_LINES
        assert eventually(lambda: '"A IN x.test. udp 24 false 512" NOERROR' in running.stdout())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(place, number):
    with place.running("-p", str(PORT)) as running:
        running.serves()
        assert running.end(number) == 0
        assert running.stderr() == ""
        assert "Traceback" not in running.stdout()


def test_check_good(place):
    place.write(".:53 {\n    whoami\n    cache 30\n}\na.test:54 {\n    whoami\n}\n")
    ended = place.run("check")
    assert ended.code == 0
    assert ended.stdout == "Corefile is good: it serves .:53, a.test.:54\n"
    (warning,) = ended.lines
    assert warning.startswith("warning: ")
    assert "cache (Corefile:3)" in warning


def test_check_bad_has_every_mistake_on_its_own_line(place):
    place.write(".:53 {\n    nosuch\n    forward . 10.0.0.300\n}\na..b {\n    whoami x\n}\n", "F")
    ended = place.run("check", "-c", "F")
    assert (ended.code, ended.stdout) == (1, "")
    assert [line.split(": ")[:2] for line in ended.lines] == [
        ["clusterdns", place_of_mistake] for place_of_mistake in ("F:2:5", "F:3:15", "F:5:1", "F:6:12")
    ]


def test_check_does_not_listen(place):
    place.write(WHOAMI.format(key=f".:{PORT}", bind=""))
    with place.running() as running:
        running.serves()
        assert place.run("check").code == 0


def test_check_without_a_corefile_does_not_speak_of_one(place):
    ended = place.run("check")
    assert ended.code == 0
    assert not ended.stdout.startswith("Corefile is good")


def test_serve_with_a_bad_corefile(place):
    place.write(".:53 {\n    nosuch\n    whoami x\n}\n")
    ended = place.run()
    assert ended.code == 1
    assert [line.partition(": ")[2].partition(": ")[0] for line in ended.lines] == ["Corefile:2:5", "Corefile:3:12"]


@pytest.mark.parametrize("kind", ["missing", "a directory", "not UTF-8", "its import is missing"])
def test_a_corefile_that_cannot_be_read(place, kind):
    match kind:
        case "a directory":
            (place.folder / "F").mkdir()
        case "not UTF-8":
            (place.folder / "F").write_bytes(b".:53 {\n    whoami \xff\n}\n")
        case "its import is missing":
            place.write("import nosuch\n.:53 {\n    whoami\n}\n", "F")
    for command in ("serve", "check"):
        ended = place.run(command, "-c", "F")
        assert ended.code == 1
        (line,) = ended.lines
        assert line.startswith("clusterdns: F:1:")


@pytest.mark.parametrize(
    ("first", "second"),
    [("", ""), ("bind 127.0.0.1", "bind 127.0.0.1"), ("bind 127.0.0.1", ""), ("", "bind 127.0.0.1"), ("", "bind ::1")],
    ids=["wildcards", "addresses", "address-wildcard", "wildcard-address", "wildcard-IPv6"],
)
def test_two_on_one_port(place, first, second):
    place.write(WHOAMI.format(key=f".:{PORT}", bind=first), "one")
    place.write(WHOAMI.format(key=f".:{PORT}", bind=second), "two")
    with place.running("-c", "one") as running:
        running.serves()
        ended = place.run("-c", "two")
        assert ended.code == 1
        (line,) = ended.lines
        assert f":{PORT}/" in line
        assert "another server listens there; stop it, or choose another port" in line
        assert place.whoami()


def test_a_port_below_1024_without_the_privilege(place):
    """Root without CAP_NET_BIND_SERVICE is as good as anybody here."""
    place.write(WHOAMI.format(key=".:53", bind=""))
    less = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    ended = place.run(prefix=less)
    assert ended.code == 1
    (line,) = ended.lines
    assert line.startswith("clusterdns: cannot listen on 0.0.0.0:53/UDP: Permission denied: ports below 1024 need root")
    assert "--dns-port" in line


def test_an_address_that_the_machine_does_not_have(place):
    place.write(WHOAMI.format(key=f".:{PORT}", bind="bind 203.0.113.9"))
    ended = place.run()
    assert ended.code == 1
    (line,) = ended.lines
    assert f"cannot listen on 203.0.113.9:{PORT}/UDP" in line
    assert "correct `bind`" in line


def test_an_interface_with_a_link_local_address(place):
    """Every interface with IPv6 but lo has one; it is bound together with its interface."""
    added = place.namespace.run("ip", "address", "add", "fe80::5/64", "dev", "lo")
    assert (added.returncode, added.stderr) == (0, "")
    place.write(WHOAMI.format(key=f".:{PORT}", bind="bind lo"))
    with place.running() as running:
        running.serves()
        assert place.whoami(host="fe80::5%lo")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--nosuch"], "unrecognized arguments: --nosuch"),
        (["serve", "-p", "70000"], "a port from 0 to 65535, not '70000'"),
        (["serve", "-p", "dns"], "a port from 0 to 65535, not 'dns'"),
        (["serve", "--workers", "many"], "a number from 0 to 64, or auto, not 'many'"),
        (["serve", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["check", "-quiet"], "unrecognized arguments: -quiet"),
    ],
)
def test_arguments_that_are_wrong(place, arguments, error):
    ended = place.run(*arguments)
    assert ended.code == 2
    assert error in ended.lines[-1]


def test_help_names_the_commands(place):
    ended = place.run("--help")
    assert ended.code == 0
    assert all(command in ended.stdout for command in ("serve", "check", "demo"))


def test_port_0_is_drawn_and_told(place):
    place.write(WHOAMI.format(key=".:0", bind="bind 127.0.0.1"))
    with place.running() as running:
        assert eventually(lambda: "clusterdns-" in running.stdout())
        port = int(running.stdout().splitlines()[0].split(":")[1].split()[0])
        running.serves(port)


def test_the_log_level(place):
    place.write(WHOAMI.format(key=f".:{PORT}", bind="cache"))
    with place.running("serve", "--log-level", "error") as running:
        running.serves()
        assert running.end() == 0
        assert "WARNING" not in running.stdout()
    with place.running("serve", "--log-level", "info") as running:
        running.serves()
        assert running.end() == 0
        assert "[WARNING] these directives are accepted unread" in running.stdout()
        assert ": stopped after" in running.stdout()


def test_a_reader_of_the_output_that_stops_does_not_stop_the_server(place):
    """Its standard output is a pipe that nobody reads, then one that is closed."""
    argv = place.namespace.command(*place.argv("-p", str(PORT)))
    reading, writing = os.pipe()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, cwd=place.folder, env=env, stdout=writing, stderr=writing) as process:
        os.close(writing)
        try:
            assert eventually(place.whoami)
            os.close(reading)
            assert all(place.whoami() for _ in range(5))
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_DEADLINE) == 0
        finally:
            process.kill()


def test_the_demo_prints_five_queries_that_work_when_pasted(place):
    with place.running("demo") as running:
        assert eventually(lambda: "Ctrl-C" in running.stdout())
        queries = [line.strip() for line in running.stdout().splitlines() if line.strip().startswith("dig ")]
        assert len(queries) == 5
        for query in queries:
            done = place.namespace.run("sh", "-c", query)
            assert (done.returncode, done.stderr) == (0, "")
            assert any(line and not line.startswith(";") for line in done.stdout.splitlines()), query
        assert running.end() == 0


def test_two_demos(place):
    with place.running("demo") as running:
        assert eventually(lambda: "Ctrl-C" in running.stdout())
        ended = place.run("demo")
    assert ended.code == 1
    assert len(ended.lines) == 1
    assert "dig" not in ended.stdout

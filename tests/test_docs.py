"""The pages are true: their Corefiles start, their commands print what is shown, their lists are those of the code."""

import ast
import asyncio
import importlib
import math
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.name
import dns.rcode
import pytest
import yaml

from clusterdns import cli
from clusterdns.errors import ConfigErrors
from clusterdns.net.machine import Machine
from clusterdns.plugins.order import DIRECTIVES, LEFT_OUT
from clusterdns.roles.limits import AUTO, BASE, EACH, Limits, decide
from clusterdns.roles.load import load
from clusterdns.roles.solo import Solo
from clusterdns.settings import Settings
from tests.support.netns import Namespace
from tests.support.process import ROOT
from tests.support.rows import CONFORMANCE

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
BUILT = sorted(row.name for row in DIRECTIVES if row.setup is not None)
LATER = {row.name for row in DIRECTIVES if row.setup is None}

_FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
# Seconds for a reply on loopback from a server that is up
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: `kind` is what stands behind the opening fence."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match["kind"].strip(), match["text"])
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next heading."""
    return re.split(rf"^#+ {re.escape(title)}$", page.read_text(), flags=re.MULTILINE)[1].split("\n#")[0]


def table(text: str) -> list[list[str]]:
    """The rows of a table without its head."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return rows[2:]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def of_kind(kind: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.kind == kind]


def loaded(text: str) -> Any:
    return load(Settings(text=text), Machine(), lambda _: None)


# Corefiles


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """Ports below 1024, and no way out: what is forwarded fails at once."""
    with Namespace(addresses=()) as opened:
        yield opened


@pytest.fixture
def resolv_conf(tmp_path: Path) -> str:
    """In place of the machine's, which may hold anything."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.53\n")
    return str(path)


EXAMPLE = Block(ROOT / "Corefile.example", 1, "corefile", (ROOT / "Corefile.example").read_text())


@pytest.mark.parametrize("block", [*of_kind("corefile"), EXAMPLE], ids=str)
def test_a_corefile_starts_and_answers(block, namespace, resolv_conf, monkeypatch):
    monkeypatch.chdir(ROOT)
    with namespace.entered():
        warnings = asyncio.run(_served(block.text.replace("/etc/resolv.conf", resolv_conf)))
    # The pages show nothing that has no effect; the stock file does
    assert bool(warnings) is (block is EXAMPLE)


async def _served(text: str) -> list[str]:
    """Start the server and ask each listener for each of its zones; returns the warnings of the start."""
    solo = Solo(Settings(text=text, quiet=True), lambda _: None)
    try:
        await solo.start()
        assert solo.config is not None
        assert solo.config.listeners
        for listener in solo.config.listeners:
            for zone in listener.zones:
                reply = await _asked(dns.name.from_text(zone), listener.address or "127.0.0.1", listener.port)
                # No block serves what is refused; SERVFAIL is what an upstream out of reach makes of it
                assert reply.rcode() in (dns.rcode.NOERROR, dns.rcode.SERVFAIL)
        return solo.config.shared.warnings
    finally:
        await solo.close()


async def _asked(name: dns.name.Name, address: str, port: int) -> dns.message.Message:
    return await dns.asyncquery.udp(dns.message.make_query(name, "SOA"), address, PATIENCE, port)


@pytest.mark.parametrize("block", of_kind("corefile error"), ids=str)
def test_a_corefile_that_is_wrong_is_rejected_with_its_line(block):
    with pytest.raises(ConfigErrors) as raised:
        loaded(block.text)
    assert all(error.line <= block.text.count("\n") for error in raised.value.errors)


KEYS = [quoted(row[0])[0] for row in table(section(DOCS / "differences.md", "Keys that are errors"))]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_an_error_is_rejected_where_it_stands(key):
    with pytest.raises(ConfigErrors) as raised:
        loaded(f"{key} {{\n    whoami\n}}\n")
    assert {error.line for error in raised.value.errors} == {1}


def test_no_fence_is_of_an_unknown_kind():
    known = {"", "corefile", "corefile error", "console", "sh", "text"}
    assert [str(block) for page in PAGES for block in blocks(page) if block.kind not in known] == []


# Plugin pages


def test_every_directive_that_is_built_has_a_page_and_no_other():
    assert sorted(page.stem for page in (DOCS / "plugins").glob("*.md")) == BUILT


@pytest.mark.parametrize("name", BUILT)
def test_a_plugin_page_has_its_sections(name):
    page = DOCS / "plugins" / f"{name}.md"
    headings = re.findall(r"^#+ .*$", prose(page), re.MULTILINE)
    assert headings[:3] == [f"# {name}", "## Name", "## Description"]
    assert [heading for heading in headings if heading in ("## Syntax", "## Examples")] == ["## Syntax", "## Examples"]
    assert section(page, "Name").strip().startswith(f"*{name}* - ")
    assert any(block.kind == "corefile" for block in blocks(page))


@pytest.mark.parametrize("line", ["forward . 192.0.2.53", "kubernetes cluster.local"])
def test_a_plugin_page_names_every_option(line):
    """The message for an option that is not known lists those that are."""
    with pytest.raises(ConfigErrors) as raised:
        loaded(f". {{\n    {line} {{\n        nosuch\n    }}\n}}\n")
    known = raised.value.errors[0].hint.partition("known options: ")[2].split(", ")
    words = " ".join(quoted(prose(DOCS / "plugins" / f"{line.split()[0]}.md"))).split()
    assert len(known) > 9
    assert [option for option in known if option not in words] == []


# How `forward` and `kubernetes` have them in their syntax
WITHOUT_EFFECT = [
    (
        "forward . 192.0.2.53",
        "The other options of CoreDNS's *forward*",
        {
            "tls": "",
            "health_check": "1s",
            "max_fails": "2",
            "max_connect_attempts": "2",
            "expire": "10s",
            "max_age": "1m",
            "max_idle_conns": "2",
            "failfast_all_unhealthy_upstreams": "",
            "doh_method": "GET",
            "resolver": "192.0.2.53",
            "source_address": "127.0.0.1",
        },
    ),
    ("kubernetes cluster.local", "`multicluster` and `zonal`", {"multicluster": "cluster.local", "zonal": ""}),
]


@pytest.mark.parametrize(("line", "begin", "options"), WITHOUT_EFFECT, ids=["forward", "kubernetes"])
def test_a_plugin_page_names_the_options_without_effect(line, begin, options):
    name, text = line.split()[0], "\n".join(map(" ".join, options.items()))
    warnings = loaded(f". {{\n{line} {{\n{text}\n}}\n}}\n").shared.warnings
    assert [warning.split(" has no effect")[0].split()[-1] for warning in warnings] == list(options)
    paragraphs = prose(DOCS / "plugins" / f"{name}.md").split("\n\n")
    (said,) = (each for each in paragraphs if each.startswith(begin) and "no effect" in each)
    assert quoted(said) == list(options)


def test_the_example_says_what_has_no_effect():
    said = ""
    for line in (word.strip() for word in EXAMPLE.text.splitlines()):
        if line.startswith("#"):
            said += line
        elif line:
            assert ("no effect" in said) is (line.split()[0] in LATER), line
            said = ""


# Commands


@pytest.mark.parametrize("block", of_kind("sh"), ids=str)
def test_a_command_exists(block):
    makefile = (ROOT / "Makefile").read_text()
    for line in block.text.splitlines():
        program, word, *_ = shlex.split(line)
        if program == "make":
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), line
        else:
            assert program == ".venv/bin/clusterdns"
            assert _status(word, "--help") == 0, line


def _status(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


@dataclass(frozen=True, slots=True)
class Shell:
    """A place like a checkout with the README's Corefile. `greeting`: what the demo, which runs, has printed."""

    namespace: Namespace
    place: Path
    greeting: str

    def run(self, line: str) -> str:
        """What a command line prints."""
        command = self.namespace.command("sh", "-c", line)
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shell(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    place = tmp_path_factory.mktemp("checkout")
    (place / "config").symlink_to(ROOT / "config")
    (corefile,) = (block.text for block in blocks(ROOT / "README.md") if block.kind == "corefile")
    (place / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (place / "Corefile").write_text(corefile.replace("/etc/resolv.conf", str(place / "resolv.conf")))
    program = place / ".venv" / "bin" / "clusterdns"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m clusterdns "$@"\n')
    program.chmod(0o755)
    with demo(namespace) as greeting:
        yield Shell(namespace, place, greeting)


@contextmanager
def demo(namespace: Namespace) -> Iterator[str]:
    """`clusterdns demo` in the namespace; gives what it prints at the start."""
    command = namespace.command(sys.executable, "-m", "clusterdns", "demo")
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        assert process.stdout is not None
        printed = []
        # Its last line comes when the sockets are open
        for line in process.stdout:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        try:
            yield "".join(printed)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(10) == 0


@pytest.mark.parametrize("block", of_kind("console"), ids=str)
def test_a_command_prints_what_is_shown(block, shell):
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        # dig sets blanks and tabs as the names are long
        assert shell.run(command).split() == shown.split(), command


def test_each_line_of_the_demo_works_as_pasted(shell):
    lines = [line for line in shell.greeting.splitlines() if line.startswith("dig ")]
    assert len(lines) == 5
    for line in lines:
        assert "IN" in shell.run(line).split(), line


# Lists and links


def test_the_readme_names_every_directive_without_effect():
    found = section(ROOT / "README.md", "What does not work yet")
    listed = found.partition("**have no effect**")[2].partition("One warning")[0]
    assert set(quoted(listed)) == LATER


def test_the_readme_names_every_directive_that_works():
    assert set(BUILT) <= set(quoted(section(ROOT / "README.md", "What works")))


def test_the_readme_quotes_the_measured_ratios():
    """As `about`: within a tenth of docs/performance.md."""
    measured = {row[0]: row[3] for row in table(section(DOCS / "performance.md", "Figures"))}
    for scenario, shown, _ in table(section(ROOT / "README.md", "How it compares")):
        assert scenario in measured, f"docs/performance.md has no figure for {scenario!r}: run `make bench`"
        assert float(shown.removeprefix("about ")) == pytest.approx(float(measured[scenario]), rel=0.1), scenario


def test_differences_names_every_directive_that_is_left_out():
    listed = table(section(DOCS / "differences.md", "Directives that are left out"))
    named = [name for row in listed for name in quoted(row[0])]
    assert sorted(named) == sorted(LEFT_OUT)


def test_differences_cites_a_row_for_every_reason():
    reasons = {}
    for path in CONFORMANCE.glob("*.yaml"):
        for row in yaml.safe_load(path.read_text()):
            if isinstance(row, dict) and "differs" in row:
                reasons[row["id"]] = (row["differs"], row.get("what"))
    cited = {word for word in quoted(prose(DOCS / "differences.md")) if re.fullmatch(r"[kpcf]\d{3}", word)}
    assert cited <= reasons.keys()
    assert {reasons[row] for row in cited} == set(reasons.values())


def test_architecture_names_every_package_and_no_other():
    files = [path for path in (ROOT / "clusterdns").iterdir() if not path.name.startswith("__")]
    expected = {f"{path.name}/" if path.is_dir() else path.name for path in files}
    assert {quoted(row[0])[0] for row in table(section(DOCS / "ARCHITECTURE.md", "Imports"))} == expected


def test_architecture_shows_the_layers_that_are_enforced():
    contracts = _pyproject()["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    (drawn,) = (block.text for block in blocks(DOCS / "ARCHITECTURE.md") if block.kind == "text")
    assert drawn.splitlines() == [layer.replace("clusterdns.", "") for layer in layers]


def test_architecture_names_every_library_and_whether_it_is_used():
    names = {re.split(r"[><=~]", wanted)[0] for wanted in _pyproject()["project"]["dependencies"]}
    listed = {row[0]: row[1] for row in table(section(DOCS / "ARCHITECTURE.md", "Libraries"))}
    modules = {"PyYAML": "yaml", "google-re2": "re2", "prometheus-client": "prometheus_client"}
    imported = _imported()
    assert listed == {name: "yes" if modules.get(name, name) in imported else "no" for name in names}


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _imported() -> set[str]:
    """Top-level modules that some module of the package imports."""
    nodes = [node for path in (ROOT / "clusterdns").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain} | {
        (node.module or "").partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)
    }


BOUNDS = [
    (name, int(value.replace(",", "")))
    for row in table(section(DOCS / "ARCHITECTURE.md", "Bounds"))
    for name, value in zip(quoted(row[1]), row[2].split(", "), strict=True)
]


@pytest.mark.parametrize(("name", "value"), BOUNDS, ids=[name for name, _ in BOUNDS])
def test_a_bound_is_what_the_code_says(name, value):
    assert _constant(name) == value


def _constant(name: str) -> object:
    """`net.udp.BATCH`, `stats.Cells.LIMIT`: a module's own constant, or that of a class in it."""
    module, _, rest = re.fullmatch(r"((?:[a-z]+\.)*[a-z]+)(\.)(.+)", name).groups()
    return reduce(getattr, rest.split("."), importlib.import_module(f"clusterdns.{module}"))


# What a specification, or a file's format, gives
GIVEN = {
    *("kube.lookup.MAX_SOA_TTL", "kube.packed.MAX_SERIAL", "plugins.kubernetes_options.MAX_TTL"),
    *("wire.encode.MAX_MESSAGE", "wire.names.MAX_LABEL", "wire.names.MAX_NAME"),
}


def test_architecture_has_every_bound():
    found = {
        f"{'.'.join(path.relative_to(ROOT / 'clusterdns').with_suffix('').parts)}.{name}"
        for path in (ROOT / "clusterdns").rglob("*.py")
        for name in _assigned(ast.parse(path.read_text()))
        if name.startswith("MAX_")
    }
    assert len(found) > 40
    assert found - {name for name, _ in BOUNDS} == GIVEN


def _assigned(module: ast.Module) -> set[str]:
    """Names that a module gives a value at its top."""
    targets = [target for node in module.body if isinstance(node, ast.Assign) for target in node.targets]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def test_architecture_names_modules_that_exist():
    rows = table(section(DOCS / "ARCHITECTURE.md", "Processes"))
    assert [row[0] for row in rows] == ["supervisor", "controller", "worker", "solo"]
    for name in {name for row in rows for name in quoted(row[1])}:
        importlib.import_module(f"clusterdns.{name}")


# At night


def test_what_the_log_says_is_what_operate_quotes():
    """Each part between dots stands in one text of the code."""
    paths = (ROOT / "clusterdns").rglob("*.py")
    texts = {
        node.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    log = table(section(DOCS / "operate.md", "What it says, and what to do").partition("What you see elsewhere")[0])
    # Between two texts stand colons and semicolons of a third
    parts = {part.strip(" ;:,") for row in log for line in quoted(row[0]) for part in line.split("...")} - {""}
    assert len(parts) > 20
    assert [part for part in parts if not any(part in text for text in texts)] == []


def test_operate_quotes_the_measured_memory():
    """Within a tenth of docs/performance.md."""
    rows = {row[0]: row for row in table(section(DOCS / "performance.md", "A large cluster"))}
    _, together, _, how, *_ = rows["peak memory, all listed twice"]
    measured = [*re.findall(r"\d+", how), together]
    (shown,) = table(section(DOCS / "operate.md", "Sizes"))
    assert [float(each) for each in shown[1:]] == pytest.approx([float(each) for each in measured], rel=0.1)


def test_operate_plans_as_the_code_does():
    limit = yaml.safe_load((ROOT / "config" / "base" / "deployment.yaml").read_text())
    memory = limit["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    workers, _ = decide(AUTO, None, Limits(math.inf, 64, int(memory.removesuffix("Mi")) << 20))
    said = " ".join(section(DOCS / "operate.md", "Sizes").split())
    assert f"count with {BASE} MiB and {EACH} MiB for each worker" in said
    assert f"the limit of {memory.removesuffix('Mi')} MiB holds {workers}" in said


def test_contributing_names_every_directory_of_tests():
    rows = table(section(ROOT / "CONTRIBUTING.md", "Where the tests are"))
    named = {name for row in rows for name in quoted(row[0])}
    assert [name for name in named if not (ROOT / name).exists()] == []
    directories = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("*/*") if path.is_file()}
    assert directories - {"tests/__pycache__"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in _LINK.findall(prose(page)):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path), target


def _anchors(page: Path) -> set[str]:
    """The names that headings get: lower case, blanks as dashes, nothing else but letters and digits."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

"""The rows of corefiles.yaml against the whole loader, and what it says of a file that is wrong."""

import pytest

from clusterdns.errors import ConfigError, ConfigErrors
from clusterdns.plugins.build import Config
from clusterdns.plugins.order import DIRECTIVES
from clusterdns.roles.load import load
from clusterdns.settings import Settings
from tests.corefile.files import Files, parsed
from tests.support.rows import CorefileRow, corefile_rows

# Rejected once the directive is read; until then it is accepted unread and named in a warning.
LATER = {
    "cache": "f060 f206 f209 f211 f218 f219 f220 f221 f222 f225 f227 f234 f236 f240",
    "loop": "f075",
    "template": "f086 f309 f310 f312 f395 f396 f397",
    "hosts": "f088 f371 f373",
    "prometheus": "f258",
    "cancel": "f290",
    "debug": "f293",
    "rewrite": "f318 f320",
    "header": "f347 f385 f386",
    "timeouts": "f388 f390 f392",
    "transfer": "f402",
    "k8s_external": "f407",
}
# Accepted by CoreDNS, rejected here on purpose (docs/differences.md), and what the error advises.
STRICTER = {"f194": "https:// is not provided, use tls://"}

ROWS = {row.id: row for row in corefile_rows()}
SKIPPED = {row_id: name for name, ids in LATER.items() for row_id in ids.split()}
ACCEPTED = [row for row in ROWS.values() if row.ok and row.id not in STRICTER]
REJECTED = [row for row in ROWS.values() if not row.ok and row.id not in SKIPPED]


class Host(Files):
    """A machine with one interface and one name server; no host name resolves."""

    def interface(self, name: str) -> list[str]:
        return ["127.0.0.1", "::1"] if name == "lo" else []


def loaded(text: str, **files: str) -> Config:
    """`text` as ./Corefile; `files` lie beside it."""
    beside = {"/etc/resolv.conf": "nameserver 192.0.2.53\n", **files}
    host = Host({"Corefile": text.replace("@SOURCE@", "manifests objects"), **beside})
    return load(Settings(corefile="Corefile"), host, lambda _: None)


def errors_of(text: str, **files: str) -> tuple[ConfigError, ...]:
    with pytest.raises(ConfigErrors) as raised:
        loaded(text, **files)
    return raised.value.errors


def directives(row: CorefileRow) -> set[str]:
    return {directive.name for block in parsed(row.corefile).blocks for directive in block.directives}


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.id)
def test_accepted(row):
    assert loaded(row.corefile).shared.errors == []


@pytest.mark.parametrize("row", REJECTED, ids=lambda row: row.id)
def test_rejected_at_the_line(row):
    errors = errors_of(row.corefile)
    assert all(str(error).startswith(f"Corefile:{error.line}:{error.column}: ") for error in errors)
    assert all(1 <= error.line <= row.corefile.count("\n") + 1 for error in errors)
    # A mistake may show on more lines than the one where it was made
    assert row.line is None or row.line in {error.line for error in errors}


@pytest.mark.parametrize("row_id", STRICTER)
def test_stricter_than_coredns(row_id):
    (error,) = errors_of(ROWS[row_id].corefile)
    assert STRICTER[row_id] in error.hint


@pytest.mark.parametrize("name", LATER)
def test_a_skipped_row_is_about_a_directive_that_is_not_built(name):
    """Fails when the directive is: then its rows must pass."""
    (row,) = [row for row in DIRECTIVES if row.name == name]
    assert row.setup is None
    assert all(name in directives(ROWS[row_id]) for row_id in LATER[name].split())


def test_all_errors_of_a_file_come_at_once():
    text = """\
.:53 {
    nosuch
    kubernetes cluster.local {
        manifests objects
        ttl x
        pods all
    }
    forward . 192.0.2.300 {
        policy best
        max_concurrent many
    }
}
a..b {
    whoami
}
.:53 {
    errors {
        consolidate 5m "("
    }
}
"""
    assert [error.line for error in errors_of(text)] == [2, 5, 6, 8, 9, 10, 13, 16, 18]


def test_errors_of_an_imported_file_name_that_file():
    (error,) = errors_of("import other\n", other=".:53 {\n    whoami\n    nosuch\n}\n")
    assert (error.file, error.line, error.column) == ("other", 3, 5)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("forwrd", "did you mean forward?"),
        ("kubernets", "did you mean kubernetes?"),
        ("zzz", "see docs/plugins for those there are"),
        ("route53", "see docs/differences.md, and remove it"),
    ],
)
def test_an_unknown_directive_has_a_hint(word, hint):
    (error,) = errors_of(f".:53 {{\n    {word} a b\n}}\n")
    assert (error.line, error.column, error.hint) == (2, 5, hint)
    assert word in error.message


def test_later_directives_are_named_in_one_warning_with_their_places():
    config = loaded(".:53 {\n    cache 30\n    whoami\n    loop\n}\na.test:53 {\n    cache 60\n    whoami\n}\n")
    (warning,) = config.shared.warnings
    assert warning.endswith(": cache (Corefile:2, Corefile:7), loop (Corefile:4)")


def test_a_later_directive_still_stands_in_a_block_once():
    (error,) = errors_of(".:53 {\n    cache 30\n    cache 60\n    whoami\n}\n")
    assert error.line == 3


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("forward . 192.0.2.1 {\n        max_fails 3\n    }", "Corefile:3: forward: max_fails"),
        ("kubernetes cluster.local {\n        zonal\n    }", "Corefile:3: kubernetes: zonal"),
    ],
)
def test_an_option_without_effect_is_named(line, named):
    warnings = loaded(f".:53 {{\n    {line}\n    whoami\n}}\n").shared.warnings
    assert any(warning.startswith(f"{named} has no effect") for warning in warnings)


def test_a_scheme_that_is_not_served_is_named():
    config = loaded("tls://a.test {\n    whoami\n}\n.:53 {\n    whoami\n}\n")
    assert [listener.zones for listener in config.listeners] == [(".",)]
    (warning,) = config.shared.warnings
    assert warning.startswith('Corefile:1: "tls://a.test" is not served')


def test_an_empty_file_is_the_default_on_the_port_of_the_command_line():
    config = load(Settings(port=5353), Files(), lambda _: None)
    assert [(listener.port, listener.zones) for listener in config.listeners] == [(5353, (".",))]


def test_a_file_that_cannot_be_read_is_an_error():
    with pytest.raises(ConfigErrors, match="no such file"):
        load(Settings(corefile="missing"), Files(), lambda _: None)


def test_keys_without_a_port_take_that_of_the_command_line():
    config = load(
        Settings(corefile="F", port=1053), Files({"F": "a.test b.test:54 {\n    whoami\n}\n"}), lambda _: None
    )
    assert [(listener.port, listener.zones) for listener in config.listeners] == [
        (1053, ("a.test.",)),
        (54, ("b.test.",)),
    ]

"""Snippets, files and the bounds on both."""

import pytest

from clusterdns.corefile.imports import MAX_DEPTH, MAX_IMPORTS, MAX_TOKENS
from clusterdns.corefile.parser import parse_text
from tests.corefile.files import Files, outline, parsed, places

DIR = "/etc/dns"


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("(s) {\n log\n}\n. {\n import s\n any\n}\n", {}, [(["."], ["log", "any"])]),
        ("(s)\n{\n log\n}\n. {\n import s\n}\n", {}, [(["."], ["log"])]),
        ("(a) {\n errors\n}\n(b) {\n import a\n log\n}\n. {\n import b\n}\n", {}, [(["."], ["errors", "log"])]),
        ("(s) {\n a.test {\n  log\n }\n}\nimport s\n", {}, [(["a.test"], ["log"])]),
        ("(s) {\n log\n}\n. {\n import s\n}\na.test {\n import s\n}\n", {}, [(["."], ["log"]), (["a.test"], ["log"])]),
        ("(s) {\n ttl 5\n}\n. {\n cache {\n  import s\n }\n}\n", {}, [(["."], ["cache", ["ttl 5"]])]),
        (". {\n import x.conf\n any\n}\n", {"x.conf": "log\n"}, [(["."], ["log", "any"])]),
        (". {\n import /etc/dns/x.conf\n}\n", {"x.conf": "log\n"}, [(["."], ["log"])]),
        (". {\n import ./d/../x.conf\n}\n", {"x.conf": "log\n"}, [(["."], ["log"])]),
        (". {\n import d/a.conf\n}\n", {"d/a.conf": "import b.conf", "d/b.conf": "log"}, [(["."], ["log"])]),
        (". {\n import d/*.conf\n}\n", {"d/b.conf": "log", "d/a.conf": "any"}, [(["."], ["any", "log"])]),
        ("import d/?.server", {"d/a.server": "a.test {\n log\n}\n"}, [(["a.test"], ["log"])]),
        ("import s.conf\n. {\n import s\n}\n", {"s.conf": "(s) {\n log\n}\n"}, [(["."], ["log"])]),
        ("(s) {\n log\n}\n. {\n import s\n}\n", {"s": "any\n"}, [(["."], ["log"])]),
        (". {\n import {$WHICH}\n}\n", {"x.conf": "log\n"}, [(["."], ["log"])]),
        (".\nimport x.conf\n", {"x.conf": "log\n"}, [(["."], ["log"])]),
        ("import x.conf\n", {"x.conf": ""}, []),
    ],
)
def test_brings_in(text, files, expected):
    result = parsed(text, {f"{DIR}/{path}": content for path, content in files.items()}, {"WHICH": "x.conf"})
    assert (result.errors, result.warnings) == ((), ())
    assert outline(result) == expected


def test_glob_without_match_is_a_warning():
    result = parsed(". {\n import custom/*.override\n log\n}\nimport custom/*.server\n")
    assert result.errors == ()
    assert result.warnings == (
        '/etc/dns/Corefile:2:9: no files match import glob pattern "custom/*.override"',
        '/etc/dns/Corefile:5:8: no files match import glob pattern "custom/*.server"',
    )


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("import", 2, "takes 1 argument, got none"),
        ('import ""', 9, "takes 1 argument, got none"),
        ("import {$NOPE}", 9, "takes 1 argument, got none"),
        ("import a b", 11, "snippets take no arguments"),
        ("import a {\n }", 11, "takes no block"),
        ("import gone.conf", 9, "/etc/dns/gone.conf: no such file"),
        ("import later", 9, "no snippet (later) is defined above"),
        ("import */*.conf", 9, "too many wildcards"),
        ("import ??.conf", 9, "too many wildcards"),
        ("import [ab].conf", 9, "too many wildcards"),
        ("import Corefile", 9, "imports itself"),
    ],
)
def test_mistakes(line, column, says):
    result = parsed(f". {{\n {line}\n log\n}}\n(later) {{\n any\n}}\n", {"/etc/dns/Corefile": ""})
    (error,) = result.errors
    assert (error.line, error.column) == (2, column)
    assert "import: " in error.message
    assert says in str(error)
    assert outline(result) == [(["."], ["log"])]


def test_mistakes_of_a_file_name_that_file():
    result = parsed(". {\n import x.conf\n}\n", {"/etc/dns/x.conf": "log\ncache {\n"})
    assert [str(error) for error in result.errors] == [
        '/etc/dns/x.conf:2:7: "}" is missing at the end of the file: the block of line 2 is still open'
    ]


def test_mistake_of_a_snippet_is_reported_once():
    assert places(parsed("(s) {\n import gone\n}\n. {\n import s\n}\na.test {\n import s\n}\n")) == [(2, 9)]


def test_snippet_that_imports_itself_is_found_though_unused():
    assert places(parsed("(s) {\n log\n import s\n}\n")) == [(4, 1)]


def test_snippets_that_import_each_other():
    result = parsed("(a) {\n import b\n log\n}\n(b) {\n import a\n}\n. {\n import b\n}\n")
    (error,) = result.errors
    assert (error.line, error.column) == (2, 9)
    assert "b -> a -> b" in error.message
    assert outline(result) == [(["."], ["log"])]


def test_files_that_import_each_other():
    result = parsed("import a.conf\n", {"/etc/dns/a.conf": "\nimport b.conf\n", "/etc/dns/b.conf": "import a.conf\n"})
    (error,) = result.errors
    assert (error.file, error.line) == ("/etc/dns/b.conf", 1)
    assert "imports itself" in error.message


def test_depth_has_a_bound():
    chain = {f"/etc/dns/{level}": f"import {level + 1}" for level in range(MAX_DEPTH + 50)}
    (error,) = parsed("import 0\n", chain).errors
    assert error.file == f"/etc/dns/{MAX_DEPTH - 1}"


def test_snippets_that_double_are_cut_short():
    doubling = "(s0) {\n log\n}\n" + "".join(
        f"(s{level}) {{\n import s{level - 1}\n import s{level - 1}\n}}\n" for level in range(1, MAX_DEPTH)
    )
    result = parsed(f"{doubling}. {{\n import s{MAX_DEPTH - 1}\n}}\n")
    (error,) = result.errors
    assert f"more than {MAX_IMPORTS} imports" in error.message
    assert len(result.blocks[0].directives) < MAX_IMPORTS


def test_words_have_a_bound():
    big = "x " * (MAX_TOKENS // 4)
    result = parsed(f"(s) {{\n log {big}\n}}\n. {{\n" + " import s\n" * 10 + "}\n")
    assert places(result) == [(7, 9)]
    assert len(result.blocks[0].directives) == 2


def test_too_large_a_file_is_refused_whole():
    result = parsed("a " * (MAX_TOKENS + 1))
    assert (places(result), result.blocks) == ([(1, 1)], ())


def test_no_file_is_read_after_a_bound_was_passed():
    reader = Files({"/etc/dns/x": ""})
    result = parse_text("import x\n" * (MAX_IMPORTS + 1000), "/etc/dns/Corefile", reader)
    assert reader.reads == MAX_IMPORTS
    assert places(result) == [(MAX_IMPORTS + 1, 8)]

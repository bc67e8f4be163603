"""Server blocks, their braces and their mistakes."""

import pytest

from clusterdns.corefile.parser import parse
from clusterdns.corefile.tree import MAX_NESTING
from tests.corefile.files import Files, outline, parsed, places


@pytest.mark.parametrize("text", ["", "\n\n", "# hi\n", "\ufeff", "  # a\r\n"])
def test_nothing(text):
    result = parsed(text)
    assert (result.blocks, result.errors, result.warnings) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".:53 {\n whoami\n}\n", [([".:53"], ["whoami"])]),
        (".:53\n{\n whoami\n}\n", [([".:53"], ["whoami"])]),
        (".:53 {\n}\n", [([".:53"], [])]),
        (".:53 { }\n", [([".:53"], [])]),
        (".:53 { whoami\n}\n", [([".:53"], ["whoami"])]),
        (".:53 { # c\n whoami # d\n}\n", [([".:53"], ["whoami"])]),
        (".:53\r\nerrors\r\ncache 30 {\r\n success 5\r\n}\r\n", [([".:53"], ["errors", "cache 30", ["success 5"]])]),
        (".:53", [([".:53"], [])]),
        ("a.test b.test {\n log\n}", [(["a.test", "b.test"], ["log"])]),
        ("a.test, b.test:53,\nc.test:53 {\n log\n}\n", [(["a.test", "b.test:53", "c.test:53"], ["log"])]),
        ("a.test , b.test {\n log\n}\n", [(["a.test", "b.test"], ["log"])]),
        ("a.test,\nb.test\n{\n log\n}\n", [(["a.test", "b.test"], ["log"])]),
        (". {\n hosts /h {\n  ttl 5\n }\n log\n}", [(["."], ["hosts /h", ["ttl 5"], "log"])]),
        (". {\n cache { success 5\n }\n}", [(["."], ["cache", ["success 5"]])]),
        (". {\n cache {\n }\n}", [(["."], ["cache", []])]),
        (". {\n a {\n  b {\n   c\n  }\n }\n}", [(["."], ["a", ["b", ["c"]]])]),
        (". {\n log\n} foo\n", [(["."], ["log"]), (["foo"], [])]),
        (". {\n log\n} foo {\n any\n}\n", [(["."], ["log"]), (["foo"], ["any"])]),
        ("a.test {\n log\n}\nb.test\nany\n", [(["a.test"], ["log"]), (["b.test"], ["any"])]),
        ('. {\n template "{" "}"\n}', [(["."], ["template { }"])]),
        ("{$ZONE}:{%PORT%} {\n log {$ZONE}\n}", [(["a.test:53"], ["log a.test"])]),
    ],
)
def test_shapes(text, expected):
    result = parsed(text, variables={"ZONE": "a.test", "PORT": "53"})
    assert result.errors == ()
    assert outline(result) == expected


def test_tokens_keep_their_place():
    (block,) = parsed("\n.:53 {\n    cache 30 {\n        prefetch 5\n    }\n}\n").blocks
    (cache,) = block.directives
    assert (block.file, block.line) == ("/etc/dns/Corefile", 2)
    assert (cache.token.line, cache.token.column, cache.args[0].column) == (3, 5, 11)
    assert cache.block is not None
    assert (cache.block[0].args[0].line, cache.block[0].args[0].column) == (4, 18)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("}\n", [(1, 1)], "no block is open"),
        (".:53 {\n log\n}\n}\n", [(4, 1)], "no block is open"),
        ("{\n log\n}\n", [(1, 1)], 'stray "{"'),
        (".:53 {\n log\n}\n{\n any\n}\n", [(4, 1)], 'stray "{"'),
        (".:53 { whoami }\n", [(1, 15)], "on its own line"),
        (".:53 {\n health { lameduck 5s }\n log\n}\n", [(2, 23)], "on its own line"),
        (".:53 {\n cache {\n } }\n", [(3, 4)], "on its own line"),
        (".:53 {\n cache {\n } log\n}\n", [(3, 4)], "stands behind"),
        (".:53 {\n cache { {\n }\n }\n}\n", [(2, 10)], 'stray "{"'),
        (".:53 {\n forward . 127.0.0.9\n {\n  x\n }\n}\n", [(3, 2)], 'stray "{"'),
        (".:53\nforward . 127.0.0.9\n{\n  x\n}\n", [(3, 1)], 'stray "{"'),
        (".:53 {\n log\n", [(2, 2)], "block of line 1 is still open"),
        (".:53 {\n health {\n  lameduck 5s\n log\n}\n", [(5, 1)], "block of line 1 is still open"),
        (".:53 {\n cache {\n log", [(3, 2)], "block of line 2 is still open"),
        (".:53 {\n log\na.test:53 {\n any\n}\n", [(3, 1)], "block of line 1 is still open"),
        (".:53 {\n cache {\n log\na.test:53 {\n any\n}\n", [(4, 1)], "block of line 2 is still open"),
        (".:53\n{\n log\n(s) {\n any\n}\n", [(4, 1)], "block of line 2 is still open"),
        ("a.test\nlog\nb.test {\n any\n}\n", [(3, 1)], "end line 1 with {"),
        ("a.test, {\n log\n}\n", [(1, 1)], "a key must follow"),
        ("a.test,\n{\n log\n}\n", [(1, 1)], "a key must follow"),
        ("a.test,", [(1, 1)], "a key must follow"),
        ('.:53 {\n log "a\n any\n}\n', [(2, 6)], "never closed"),
        ("(s)\n", [(1, 1)], "has no braces"),
        ("{$NOPE} {\n log\n}\n", [(1, 1)], "not set"),
        ("{$NOPE}:53 {\n log\n}\n", [(1, 1)], "not set"),
    ],
)
def test_mistakes(text, where, says):
    result = parsed(text)
    assert places(result) == where
    assert says in str(result.errors[0])


def test_all_mistakes_of_a_file_are_reported():
    text = """\
10.0.0.1:53, a..test, ok.test {
    import
    cache 30 {
        success 5
    } log
    import nothing.conf
}
}
foo://.:53 {
    whoami }
(s) {
    errors
}
(s) {
    log
}
.:99999 {
    import s extra
    import s
"""
    result = parsed(text)
    assert places(result) == [
        *[(1, 1), (1, 14), (2, 5), (5, 7), (6, 12)],
        *[(8, 1), (9, 1), (10, 12), (14, 1), (17, 1), (18, 14), (19, 12)],
    ]
    assert outline(result) == [
        (["ok.test"], ["cache 30", ["success 5"], "log"]),
        ([], ["whoami"]),
        ([], ["errors"]),
    ]


def test_missing_brace_spoils_only_its_block():
    result = parsed("a.test {\n log\nb.test {\n any\n}\n")
    assert outline(result) == [(["a.test"], ["log"]), (["b.test"], ["any"])]


def test_nesting_has_a_bound():
    # The braces of the server block count as well.
    deepest = "." + " {\n a" * MAX_NESTING + "\n}" * MAX_NESTING
    assert parsed(deepest).errors == ()
    endless = "." + " {\n a" * 100_000 + "\n}" * 100_000
    (error,) = parsed(endless).errors
    assert (error.line, error.hint) == (MAX_NESTING + 1, f"blocks nest at most {MAX_NESTING} deep")


def test_unreadable_file():
    result = parse("/etc/dns/Corefile", Files())
    assert [str(error) for error in result.errors] == ["/etc/dns/Corefile:1:1: /etc/dns/Corefile: no such file"]


def test_file_by_path():
    assert outline(parse("Corefile", Files({"Corefile": ". {\n log\n}\n"}))) == [(["."], ["log"])]

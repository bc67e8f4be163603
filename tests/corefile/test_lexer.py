"""Words, quotes, comments and variables, and the place of each token."""

import pytest

from clusterdns.corefile.lexer import tokenize

VARIABLES = {"ZONE": "a.test", "PORT": "53", "TWO": "a b", "TREE": "{$ZONE}", "LINES": "x\ny"}


def lex(text):
    errors = []
    return tokenize(text, "Corefile", lambda name: VARIABLES.get(name, ""), errors), errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("# only this", []),
        ("a b\tc\n d", ["a", "b", "c", "d"]),
        ("\ufeffa", ["a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a#b c\nd", ["a", "d"]),
        ("a # b", ["a"]),
        ('"a # b"', ["a # b"]),
        ('"a b"c', ["a b", "c"]),
        ('a"b c"', ['a"b', 'c"']),
        (r'"say \"a\""', ['say "a"']),
        (r'"^a\.b\\"', [r"^a\.b\\"]),
        ('""', [""]),
        ('"a\nb"', ["a\nb"]),
        ('"a\r\nb"', ["a\nb"]),
        ("\\\n b", ["\\", "b"]),
        ("{}", ["{}"]),
        ("{$ZONE}", ["a.test"]),
        ("x.{%ZONE%}:{$PORT}", ["x.a.test:53"]),
        ('"{$TWO}"', ["a b"]),
        ("{$TWO}", ["a b"]),
        ("{$TREE}", ["{$ZONE}"]),
        ("{$NOPE} x", ["", "x"]),
        ("{$NOPE:-x.test}", [""]),
        ("{$} {%%} {$a {%a}", ["{$}", "{%%}", "{$a", "{%a}"]),
        ("{client_ip} {0}.x", ["{client_ip}", "{0}.x"]),
    ],
)
def test_words(text, words):
    tokens, errors = lex(text)
    assert [token.text for token in tokens] == words
    assert errors == []


def test_places_and_first_of_line():
    tokens, _ = lex('  a b # c\n\n\t"x\ny" d\ne')
    assert [(token.text, token.line, token.column, token.first) for token in tokens] == [
        ("a", 1, 3, True),
        ("b", 1, 5, False),
        ("x\ny", 3, 2, True),
        ("d", 4, 4, False),
        ("e", 5, 1, True),
    ]


def test_variable_of_several_lines_moves_no_place():
    tokens, _ = lex("a {$LINES} b\nc")
    assert [(token.line, token.column, token.first) for token in tokens] == [
        (1, 1, True),
        (1, 3, False),
        (1, 12, False),
        (2, 1, True),
    ]


@pytest.mark.parametrize(("text", "is_open"), [("{", True), ('"{"', False), ("{{", False)])
def test_only_a_bare_brace_opens(text, is_open):
    assert [token.is_open for token in lex(text)[0]] == [is_open]


def test_unclosed_quote_ends_with_its_line():
    tokens, errors = lex('log . "ab\nwhoami\n')
    assert [token.text for token in tokens] == ["log", ".", "ab", "whoami"]
    assert [(error.line, error.column) for error in errors] == [(1, 7)]
    assert "never closed" in str(errors[0])


def test_quote_that_ends_in_a_backslash_is_unclosed():
    assert len(lex('"ab\\')[1]) == 1


def test_long_runs_that_look_like_variables_stay_text():
    for run in ("{%" * 100_000, "{$" * 100_000, "{%" + "a" * 100_000):
        assert lex(run)[0][0].text == run


def test_shown_is_one_short_printable_line():
    (token,) = lex('"a\nb' + "c" * 100 + '"')[0]
    assert token.shown == '"a\\x0ab' + "c" * 57 + '..."'

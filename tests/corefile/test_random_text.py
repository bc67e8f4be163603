"""Whatever the text is, parsing ends, raises nothing, and does a bounded amount of work."""

from hypothesis import given
from hypothesis import strategies as st

from clusterdns.corefile.imports import MAX_IMPORTS, MAX_TOKENS
from clusterdns.corefile.parser import parse_text
from tests.corefile.files import Files

# Pieces of which files, snippets and their mistakes are made.
PIECE = st.sampled_from(
    [
        *["{", "}", "\n", "\n", " ", ",", '"', "\\", "#", "(s)", "(t)", "import", "s", "t", "a.conf", "*.conf", "[a]"],
        *[".:53", "a.test", "10.0.0.0/24", "tls://", ":", "forward", "cache", "{$X}", "{%", "%}"],
        *["{\n", "\n}\n", "\nimport "],
    ]
)
SOUP = st.lists(PIECE, max_size=60).map(" ".join) | st.lists(PIECE, max_size=60).map("".join)


def directives_in(directives):
    return sum(1 + directives_in(directive.block or ()) for directive in directives)


@given(st.text() | SOUP, SOUP, SOUP)
def test_nothing_is_raised(text, one, other):
    reader = Files({"/c/a.conf": one, "/c/b.conf": other, "/c/s": other}, {"X": one})
    result = parse_text(text, "/c/Corefile", reader)
    assert reader.reads <= MAX_IMPORTS
    assert sum(directives_in(block.directives) for block in result.blocks) <= MAX_TOKENS
    for error in result.errors:
        # Each can be printed, and points into the text.
        str(error).encode()
        assert error.line >= 1
        assert error.column >= 1


@given(
    st.lists(st.sampled_from(["errors", "log", "cache 30 {\n  success 5\n }", "import x*"]), max_size=8),
    st.text() | SOUP,
)
def test_a_good_block_survives_what_stands_before_it(directives, line):
    """A mistake on one line, or a `}` that is missing, hides no server block further down."""
    body = "".join(f" {directive}\n" for directive in directives)
    first = line.replace("\n", " ").replace('"', " ")
    text = f". {{\n {first}\n}}\nlast.test {{\n{body}}}\n"
    keys = [key.token.text for block in parse_text(text, "/c/Corefile", Files()).blocks for key in block.keys]
    assert "last.test" in keys

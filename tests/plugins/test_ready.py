"""`ready`: addresses, and whether readiness may be lost again."""

import pytest

from tests.plugins.blocks import block, configured, mistakes


@pytest.mark.parametrize(
    ("lines", "ready"),
    [
        ([], {}),
        (["ready"], {("", 8181): False}),
        (["ready 127.0.0.1:8182"], {("127.0.0.1", 8182): False}),
        (["ready {", "monitor until-ready", "}"], {("", 8181): False}),
        (["ready {", "monitor continuously", "}"], {("", 8181): True}),
        (["ready {", "monitor continuously", "monitor until-ready", "}"], {("", 8181): False}),
    ],
)
def test_what_is_served(lines, ready):
    assert configured(block(*lines, "whoami")).shared.process.ready == ready


@pytest.mark.parametrize("order", [("until-ready", "continuously"), ("continuously", "until-ready")])
def test_of_blocks_with_one_address_continuously_counts(order):
    text = "".join(
        block("ready {", f"monitor {each}", "}", "whoami", key=key)
        for each, key in zip(order, ("a.test", "b.test"), strict=True)
    )
    assert configured(text).shared.process.ready == {("", 8181): True}


def test_health_and_ready_may_share_an_address():
    process = configured(block("health 127.0.0.1:8080", "ready 127.0.0.1:8080", "whoami")).shared.process
    assert process.health.keys() == process.ready.keys() == {("127.0.0.1", 8080)}


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["ready x"], '2:7: ready: "x" has no port (write for example :8181 or 127.0.0.1:8181)'),
        (["ready :8181 now"], "takes 0 to 1 argument, got 2"),
        (["ready {", "monitor foo", "}"], '3:9: ready: monitor: one of until-ready, continuously, not "foo"'),
        (["ready {", "monitor", "}"], "takes 1 argument, got none"),
        (["ready {", "watch continuously", "}"], "one of monitor"),
        (["ready {", "monitor until-ready {", "x", "}", "}"], "takes no block"),
        (["ready", "ready"], "twice"),
    ],
)
def test_mistakes(lines, error):
    (found,) = mistakes(*lines, "whoami")
    assert error in found

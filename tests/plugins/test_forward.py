"""`forward`: for which names it asks, and what it does with the answer. No loop and no socket."""

import pytest

from clusterdns.errors import UpstreamError
from clusterdns.plugins.base import Ask
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.records import Relay, Response
from tests.plugins.blocks import Run, a_records, block, configured, context, handler, shown

ONE, TWO = "dns://192.0.2.1:53", "dns://192.0.2.2:53"
# What an upstream said, by its header: flags, QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT
EMPTY = Relay(b"\0\0\x81\x80\0\1\0\0\0\1\0\0", RCode.NOERROR)
NXDOMAIN = Relay(b"\0\0\x81\x83\0\1\0\0\0\1\0\0", RCode.NXDOMAIN)
SERVFAIL = Relay(b"\0\0\x81\x82\0\1\0\0\0\0\0\0", RCode.SERVFAIL)
ANSWER = Relay(b"\0\0\x81\x80\0\1\0\1\0\0\0\0", RCode.NOERROR)


def run(name, *lines):
    return Run(configured(block(*lines)), name)


def options(*words):
    return ["forward . 192.0.2.1 {", *words, "}"]


def test_the_generator_asks_once_and_returns_what_it_is_sent():
    step = handler(configured(block("forward . 192.0.2.1")))(context().hidden_request.query, context())
    effect = next(step)
    assert isinstance(effect, Ask)
    assert [str(upstream) for upstream in effect.group.upstreams] == [ONE]
    with pytest.raises(StopIteration) as stop:
        step.send(NXDOMAIN)
    assert stop.value.value is NXDOMAIN


@pytest.mark.parametrize(
    ("name", "upstreams"),
    [
        ("corp.test.", [ONE]),
        ("x.corp.test.", [ONE]),
        ("xcorp.test.", [TWO]),
        ("test.", [TWO]),
        (".", [TWO]),
    ],
)
def test_the_first_line_whose_zone_holds_the_name_is_taken(name, upstreams):
    assert run(name, "forward corp.test 192.0.2.1", "forward . 192.0.2.2").upstreams == upstreams


def test_lines_are_tried_in_their_order_not_by_length():
    assert run("x.corp.test.", "forward . 192.0.2.1", "forward corp.test 192.0.2.2").upstreams == [ONE]


@pytest.mark.parametrize("name", ["a.test.", "x.a.test.", "1.0.0.10.in-addr.arpa."])
def test_except_leaves_names_to_the_next_plugin(name):
    lines = [*options("except A.test 10.0.0.0/24"), "forward . 192.0.2.2"]
    assert run(name, *lines).upstreams == [TWO]
    assert run("xa.test.", *lines).upstreams == [ONE]


def test_except_without_a_next_plugin_is_servfail():
    asked = run("a.test.", *options("except a.test"))
    assert asked.done().rcode == RCode.SERVFAIL
    assert "add `forward`" in str(asked.context.error)


def test_what_an_upstream_says_is_passed_on():
    for reply in (ANSWER, NXDOMAIN, SERVFAIL, EMPTY):
        assert run("a.test.", "forward . 192.0.2.1", "forward . 192.0.2.2").reply(reply).result is reply


def test_no_answer_is_servfail_with_the_reason_for_the_log():
    asked = run("a.test.", "forward . 192.0.2.1").fail(UpstreamError("timed out"))
    assert asked.done().rcode == RCode.SERVFAIL
    assert str(asked.context.error) == "timed out"


def test_no_answer_does_not_go_to_the_next_forward():
    asked = run("a.test.", "forward . 192.0.2.1", "forward . 192.0.2.2").fail(UpstreamError("timed out"))
    assert asked.done().rcode == RCode.SERVFAIL


@pytest.mark.parametrize(
    ("option", "reply"),
    [
        ("next NXDOMAIN", NXDOMAIN),
        ("next servfail nxdomain", SERVFAIL),
        ("next_on_nodata", EMPTY),
        ("next NOERROR", ANSWER),
    ],
)
def test_next_leaves_the_question_to_the_next_forward(option, reply):
    asked = run("a.test.", *options(option), "forward . 192.0.2.2").reply(reply)
    assert asked.upstreams == [TWO]
    assert asked.reply(NXDOMAIN).result is NXDOMAIN


@pytest.mark.parametrize(
    ("option", "reply"), [("next NXDOMAIN", SERVFAIL), ("next_on_nodata", NXDOMAIN), ("next_on_nodata", ANSWER)]
)
def test_next_takes_no_other_reply(option, reply):
    assert run("a.test.", *options(option), "forward . 192.0.2.2").reply(reply).result is reply


@pytest.mark.parametrize("following", [[], ["whoami"]], ids=["none", "whoami"])
def test_next_without_another_forward_passes_the_reply_on(following):
    asked = run("a.test.", *options("next NXDOMAIN"), *following).reply(NXDOMAIN)
    assert asked.result is NXDOMAIN


def test_next_through_three():
    lines = [*options("next NXDOMAIN"), "forward . 192.0.2.2 {", "next NXDOMAIN", "}", "forward . 192.0.2.3"]
    asked = run("a.test.", *lines).reply(NXDOMAIN).reply(NXDOMAIN)
    assert asked.upstreams == ["dns://192.0.2.3:53"]


def test_an_answer_from_upstream_is_never_pure():
    asked = run("a.test.", "forward . 192.0.2.1").reply(ANSWER)
    assert not asked.context.pure


def test_a_response_of_values_is_passed_on_too():
    reply = Response(answer=(a_records("a.test", "10.0.0.1"),))
    assert shown(run("a.test.", "forward . 192.0.2.1").reply(reply).done().answer) == ["a.test. A 10.0.0.1"]


def test_the_query_goes_out_as_it_came():
    asked = Run(configured(block("forward . 192.0.2.1")), "X.Test.", "MX")
    assert asked.asked == "x.test."
    assert asked.context.hidden_request.query.qtype == Type.MX

import pytest

from clusterdns.kube.selectors import matches, parse

OBJECTS = [{}, {"app": "web"}, {"app": "db"}, {"app": "web", "tier": "front"}, {"app": ""}, {"canary": "yes"}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("app=web", [1, 3]),
        ("app==web", [1, 3]),
        ("app = web", [1, 3]),
        ("app=", [4]),
        ("app!=web", [0, 2, 4, 5]),
        ("app", [1, 2, 3, 4]),
        ("!app", [0, 5]),
        ("! app", [0, 5]),
        ("app in (web, db)", [1, 2, 3]),
        ("app in (web)", [1, 3]),
        ("app in(web,db)", [1, 2, 3]),
        ("app in ()", [4]),
        ("app notin (web,db)", [0, 4, 5]),
        ("app=web,tier=front", [3]),
        ("app=web, !tier", [1]),
        ("app,app!=db,tier notin (front)", [1, 4]),
        (" app=web ", [1, 3]),
        ("in in (x)", []),
    ],
)
def test_what_a_selector_selects(text, found):
    selector = parse(text)
    assert [at for at, labels in enumerate(OBJECTS) if matches(selector, labels)] == found


def test_keys_may_have_a_prefix():
    assert matches(parse("app.kubernetes.io/name=web"), {"app.kubernetes.io/name": "web"})
    assert not matches(parse("app.kubernetes.io/name"), {"name": "web"})


def test_an_empty_selector_selects_everything():
    assert matches((), {}) is matches((), {"app": "web"}) is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "=web",
        "app=web tier=front",
        "app in web",
        "app in (web",
        "app in (a(b))",
        "!app=web",
        "!app in (web)",
        "app=a=b",
        "app<5",
        "app=web;tier",
        "(app)",
        "-app",
        # An operator needs a blank before it, or it belongs to the key
        "bin (web)",
        "domain(web)",
        "notin (web)",
    ],
)
def test_what_is_no_selector(text):
    with pytest.raises(ValueError, match=r"cannot read|is empty"):
        parse(text)

"""Whatever happened to the files: what is served is what their last good texts say."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.directory import Directory
from tests.sources.objects import as_list, documents, endpoints, namespace, service

# Files of the same objects, so that they overlap; texts of one length, so that a size tells nothing
_NAMES = ("a.yaml", "b.json", "sub/c.yaml")
_OBJECTS = st.lists(
    st.sampled_from(
        [namespace(), namespace("data"), endpoints("web", "10.0.1.1"), endpoints("web", "10.0.1.2")]
        + [service(name, f"10.0.0.{last}", app=app) for name in ("web", "api") for last in (1, 2) for app in "xy"]
    ),
    max_size=4,
)
_BROKEN = "{ not: [valid"
# An edit is a file's name and its new content: objects, something broken, or None for a file that is removed.
_EDITS = st.lists(st.tuples(st.sampled_from(_NAMES), _OBJECTS | st.sampled_from([_BROKEN, None])), max_size=4)


def _text(name, content):
    if content == _BROKEN:
        return _BROKEN
    return as_list(*content) if name.endswith(".json") else documents(*content) or "---\n"


def _edit(directory, name, content):
    if content is None:
        (directory.path / name).unlink(missing_ok=True)
    else:
        directory.write(name, _text(name, content))


@settings(deadline=None)
@given(st.lists(_EDITS, max_size=8))
def test_a_long_history_serves_what_a_fresh_start_on_the_last_good_files_does(history):
    with tempfile.TemporaryDirectory() as root:
        directory = Directory(Path(root, "edited"))
        contents, good = {}, {}
        for edits in history:
            for name, content in edits:
                _edit(directory, name, content)
                contents[name] = content
            directory.events()
            good |= {name: content for name, content in contents.items() if content != _BROKEN}
        fresh = Directory(Path(root, "fresh"))
        for name, content in good.items():
            _edit(fresh, name, content)
        fresh.events()
        assert directory.served == fresh.served

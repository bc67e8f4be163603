"""When the Corefile is loaded again: for what changed, once, and never for what cannot be read."""

import asyncio
import logging

import pytest

from clusterdns.corefile.parser import parse
from clusterdns.corefile.record import Record, Recorder
from clusterdns.roles.loop import become
from clusterdns.roles.watch import CorefileWatch
from tests.corefile.files import Files

FILE = "/c/Corefile"


def loaded(reader: Files) -> Record:
    recorder = Recorder(reader)
    parse(FILE, recorder)
    return recorder.record()


class Watched:
    """A watch of files that are loaded again as a server does. `loads`: how often."""

    def __init__(self, **files: str) -> None:
        self.reader = Files({f"/c/{name}": text for name, text in files.items()})
        self.files = self.reader.files
        self.watch = CorefileWatch(self.reader, self._load)
        self.loads = 0
        self.watch.follow(loaded(self.reader), None)

    def look(self) -> int:
        """How often it was loaded until now."""
        self.watch._look()
        return self.loads

    def _load(self) -> None:
        self.loads += 1
        self.watch.follow(loaded(self.reader), None)


def test_each_change_is_loaded_once():
    watched = Watched(Corefile="import other", other="")
    assert [watched.look(), watched.look()] == [0, 0]
    watched.files["/c/other"] = "a {\n}\n"
    assert [watched.look(), watched.look()] == [1, 1]
    watched.files[FILE] = ""
    assert [watched.look(), watched.look()] == [2, 2]
    # Nobody reads it any more
    watched.files["/c/other"] = ""
    assert watched.look() == 2


def test_a_file_that_a_pattern_matches_now_is_a_change_and_one_that_it_does_not_any_more():
    watched = Watched(Corefile="import *.conf")
    watched.files["/c/a.conf"] = ""
    assert watched.look() == 1
    del watched.files["/c/a.conf"]
    assert [watched.look(), watched.look()] == [2, 2]


def test_what_cannot_be_read_is_said_once_and_not_loaded(caplog):
    """A ConfigMap is replaced file by file, or taken away by mistake."""
    watched = Watched(Corefile="import other", other="")
    for name in ("/c/other", FILE):
        before = watched.files.pop(name)
        with caplog.at_level(logging.ERROR):
            assert [watched.look(), watched.look()] == [0, 0]
        assert caplog.messages == [f"reload: {name}: no such file; the configuration that was loaded is served on"]
        caplog.clear()
        # It is back as it was
        watched.files[name] = before
        assert watched.look() == 0


def test_it_is_said_again_when_it_happens_again(caplog):
    watched = Watched(Corefile="")
    for _ in range(2):
        del watched.files[FILE]
        watched.look()
        watched.files[FILE] = ""
        watched.look()
    assert len(caplog.messages) == 2


def test_what_was_refused_is_not_tried_again_before_it_changes():
    """A mistake is loaded once, and so is a file that was missing from the start."""
    watched = Watched(Corefile="")
    watched.files[FILE] = "import missing"
    assert [watched.look(), watched.look()] == [1, 1]
    watched.files["/c/missing"] = ""
    assert [watched.look(), watched.look()] == [2, 2]


@pytest.mark.parametrize("pause", [(0.0, 0.0), (0.0, 0.001)])
def test_it_is_looked_at_by_itself(pause):
    async def main() -> None:
        reader, changed = Files({FILE: "one {\n}\n"}), asyncio.Event()
        watch = CorefileWatch(reader, changed.set)
        watch.follow(loaded(reader), pause)
        reads = reader.reads
        await become(lambda: reader.reads >= reads + 3, 30.0, 0.001)
        assert not changed.is_set()
        reader.files = {FILE: "two {\n}\n"}
        await asyncio.wait_for(changed.wait(), 30)
        # Nobody has loaded it: it is asked for again
        changed.clear()
        await asyncio.wait_for(changed.wait(), 30)
        watch.close()
        reads = reader.reads
        for _ in range(100):
            await asyncio.sleep(0)
        assert reader.reads == reads

    asyncio.run(main())


def test_without_a_pause_it_is_not_looked_at():
    """Neither from the start, nor after a configuration without `reload`."""

    async def main() -> None:
        reader = Files({FILE: ""})
        watch = CorefileWatch(reader, lambda: None)
        watch.follow(loaded(reader), (0.0, 0.0))
        watch.follow(loaded(reader), None)
        reads = reader.reads
        for _ in range(100):
            await asyncio.sleep(0)
        assert reader.reads == reads
        watch.close()

    asyncio.run(main())


def test_what_the_files_say_now():
    watched = Watched(Corefile="one {\n}\n")
    assert watched.watch.fresh().digest == loaded(watched.reader).digest
    watched.files[FILE] = "two {\n}\n"
    assert watched.watch.fresh().digest == loaded(watched.reader).digest
    watched.files.clear()
    assert [answer.error for answer in watched.watch.fresh().answers] == [f"{FILE}: no such file"]

"""The last good Corefile is kept as a whole or as it was, and what cannot be used is said."""

import logging
import os
import stat
from pathlib import Path

import pytest

from clusterdns.corefile.record import Record, Recorder
from clusterdns.errors import ClusterDNSError
from clusterdns.roles import lastgood
from tests.corefile.files import Files

NAME = "corefile.last-good"


def record(text: str) -> Record:
    recorder = Recorder(Files({"/c/Corefile": text}))
    recorder.text("/c/Corefile")
    return recorder.record()


def kept(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_what_was_written_is_read(tmp_path):
    for text in ("one", "two"):
        lastgood.write(str(tmp_path), record(text))
        assert lastgood.read(str(tmp_path)) == record(text)
        assert kept(tmp_path) == {NAME}
    # Names and addresses are nobody else's business
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_the_same_is_not_written_again(tmp_path):
    lastgood.write(str(tmp_path), record("one"))
    before = (tmp_path / NAME).stat()
    lastgood.write(str(tmp_path), record("one"))
    assert (tmp_path / NAME).stat() == before


def test_what_somebody_left_who_was_killed_is_replaced(tmp_path):
    lastgood.write(str(tmp_path), record("one"))
    (tmp_path / "corefile.new").write_bytes(b"half of")
    lastgood.write(str(tmp_path), record("two"))
    assert lastgood.read(str(tmp_path)) == record("two")
    assert kept(tmp_path) == {NAME}


def test_a_link_is_not_followed(tmp_path):
    """What a stranger can write to is not to be written by us."""
    (tmp_path / "corefile.new").symlink_to(tmp_path / "other")
    lastgood.write(str(tmp_path), record("one"))
    assert kept(tmp_path) == {NAME}
    assert not (tmp_path / NAME).is_symlink()


def test_what_cannot_be_written_is_said_and_the_old_one_stays(tmp_path, caplog):
    lastgood.write(str(tmp_path), record("one"))
    (tmp_path / "corefile.new").mkdir()
    with caplog.at_level(logging.WARNING):
        lastgood.write(str(tmp_path), record("two"))
    (message,) = caplog.messages
    assert message.startswith(f"the last good Corefile is not kept in {tmp_path}: ")
    assert lastgood.read(str(tmp_path)) == record("one")


@pytest.mark.parametrize("directory", ["", "/nowhere", "/dev/null", "/proc/self"])
def test_where_nothing_can_be_kept_nothing_is(directory):
    """No hindrance, whoever we are: root may write anywhere, but not into /proc."""
    lastgood.write(directory, record("one"))
    with pytest.raises(ClusterDNSError, match=r"no last good Corefile is kept|cannot be read"):
        lastgood.read(directory)


def test_which_directories_can_be_used(tmp_path):
    assert [lastgood.usable(where) for where in (str(tmp_path), "", f"{tmp_path}/no", "/dev/null")] == [
        True,
        False,
        False,
        False,
    ]


def spoil(path: Path, how: str) -> None:
    raw = path.read_bytes()
    path.unlink()
    match how:
        case "cut":
            path.write_bytes(raw[:-1])
        case "empty":
            path.write_bytes(b"")
        case "junk":
            path.write_bytes(os.urandom(100))
        case "large":
            with open(path, "wb") as file:
                file.truncate(64 * 1024 * 1024 + 1)
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)


@pytest.mark.parametrize("how", ["cut", "empty", "junk", "large", "directory", "pipe", "gone"])
def test_what_is_spoiled_is_not_used(tmp_path, how):
    lastgood.write(str(tmp_path), record("one"))
    spoil(tmp_path / NAME, how)
    with pytest.raises(ClusterDNSError):
        lastgood.read(str(tmp_path))

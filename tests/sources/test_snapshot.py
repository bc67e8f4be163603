"""The snapshot's file: what was written is read again, and nothing else is."""

import hashlib
import os
import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.errors import SourceError
from clusterdns.kube.objects import Delete, Kind, Restored, Synced
from clusterdns.kube.packed import Packed, pack
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.snapshot import (
    MAX_AGE,
    MAX_AHEAD,
    MAX_BYTES,
    PAUSE,
    REFRESH,
    RETRY,
    Content,
    Snapshot,
    decode,
    encode,
    source_id,
)
from tests.kube.objects import endpoint, namespace, service, slice_of
from tests.kube.test_any_history import OBJECTS

SPEC = SourceSpec(endpoint="https://10.96.0.1")
NOW = 1_800_000_000
STATE = [
    pack(event) for event in (namespace("a"), service("a", "s", "None"), slice_of("a", "s", "1", endpoint("10.0.0.1")))
]
CONTENT = Content(NOW, 7, source_id(SPEC), STATE)
FILE = b"".join(encode(CONTENT))


def entry(key: bytes, payload: bytes) -> bytes:
    return struct.pack("!II", len(key), len(payload)) + key + payload


ENTRIES = b"".join(entry(*packed) for packed in STATE)


def sealed(
    stream: bytes = zlib.compress(ENTRIES),
    magic: bytes = b"cdnssnap",
    version: int = 1,
    serial: int = 7,
    count: int = len(STATE),
    heard: int = NOW,
) -> bytes:
    """A file as anyone could make it who knows the format, with a checksum that is right."""
    raw = magic + struct.pack("!HqqQ", version, heard, serial, count) + source_id(SPEC) + stream
    return raw + hashlib.sha256(raw).digest()


@settings(max_examples=100, deadline=None)
@given(st.lists(OBJECTS.map(pack), max_size=12), st.integers(0, 2**40), st.integers(0, 2**60), st.binary(max_size=16))
def test_what_was_written_is_read(objects, heard, serial, source):
    content = Content(heard, serial, source.ljust(16), objects)
    assert decode(b"".join(encode(content))) == content


def test_the_format():
    """A file of this version stays readable."""
    assert decode(sealed()) == CONTENT
    assert zlib.decompress(FILE[50:-32]) == ENTRIES
    assert FILE[:50] == sealed()[:50]


def test_a_file_is_made_of_small_pieces():
    """A large state, 20 MB here, is never in memory a second time."""
    noise = random.Random(7).randbytes(100_000)
    content = Content(NOW, 7, bytes(16), [(b"%d" % n, noise[n : n + 1000]) for n in range(20_000)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in encode(content)) > 100
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", range(0, len(FILE), 7))
def test_a_file_that_was_cut_short(size):
    with pytest.raises(SourceError):
        decode(FILE[:size])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_file_that_was_changed(at, bits):
    with pytest.raises(SourceError):
        decode(FILE[:at] + bytes([FILE[at] ^ bits]) + FILE[at + 1 :])


BOMB = zlib.compress(bytes(MAX_BYTES + 1))


def holding(*packed: Packed) -> bytes:
    """A file of the good objects and these."""
    return sealed(zlib.compress(ENTRIES + b"".join(entry(*each) for each in packed)), count=len(STATE) + len(packed))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is no snapshot"),
        (b"x" * 200, "is no snapshot"),
        (sealed(magic=b"CDNSSNAP"), "is no snapshot"),
        (sealed(version=2), "version 2"),
        (sealed(serial=-1), "serial"),
        (sealed(serial=2**63 - 1), "serial"),
        (sealed(b""), "no object"),
        (sealed(b"x" * 40), "no object"),
        (sealed(zlib.compress(ENTRIES)[:-1]), "longer than its stream"),
        (sealed(zlib.compress(ENTRIES) + b"x"), "longer than its stream"),
        (sealed(BOMB), "64 MiB"),
        (sealed(zlib.compress(ENTRIES[:-1])), "no object"),
        (sealed(zlib.compress(ENTRIES + b"\0")), "do not fill it"),
        (sealed(count=len(STATE) - 1), "do not fill it"),
        (sealed(count=2**64 - 1), "no object"),
        (holding(Packed(b"s/a/t", b"\xc0")), "no object"),
        (holding(Packed(b"", b"")), "an event in place of an object"),
        (holding(pack(Synced())), "an event in place of an object"),
        (holding(pack(Restored(9))), "an event in place of an object"),
        (holding(pack(Delete(Kind.SERVICE, "a", "s"))), "an event in place of an object"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(raw, why):
    with pytest.raises(SourceError, match=why):
        decode(raw)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=30)), min_size=1, max_size=3), st.integers(0, 4))
def test_any_entries_with_a_right_checksum(entries, count):
    """Whatever they hold is refused as a whole, or objects."""
    try:
        found = decode(sealed(zlib.compress(b"".join(entry(*each) for each in entries)), count=count))
    except SourceError:
        return
    assert [tuple(packed) for packed in found.objects] == entries


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


def snapshot(path, spec: SourceSpec = SPEC) -> Snapshot:
    return Snapshot(str(path), spec)


def refusal(path, now: float = NOW, spec: SourceSpec = SPEC) -> str:
    """Why the file is not used; it is left as it is."""
    before = os.stat(path).st_mtime_ns
    with pytest.raises(SourceError) as raised:
        snapshot(path, spec).read(now)
    assert os.stat(path).st_mtime_ns == before
    text = str(raised.value)
    assert text.startswith(f"{path}: is not used: ")
    return text


def test_the_file_of_one_process_is_the_state_of_the_next(path):
    assert snapshot(path).read(NOW) is None
    assert snapshot(path).write(0.0, 7, NOW + 0.5, STATE) == ""
    assert snapshot(path).read(NOW) == CONTENT
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["state"]


@pytest.mark.parametrize("age", [0, MAX_AGE, -MAX_AHEAD])
def test_a_time_that_will_do(path, age):
    path.write_bytes(FILE)
    assert snapshot(path).read(NOW + age) == CONTENT


@pytest.mark.parametrize(
    ("age", "why"), [(MAX_AGE + 1, "it is 24 hours old"), (10 * MAX_AGE, "240 hours"), (-MAX_AHEAD - 1, "the future")]
)
def test_a_time_that_will_not_do(path, age, why):
    path.write_bytes(FILE)
    assert why in refusal(path, NOW + age)


@pytest.mark.parametrize(
    "spec",
    [
        SourceSpec(),
        SourceSpec(endpoint="https://10.96.0.2"),
        SourceSpec(kubeconfig="https://10.96.0.1"),
        SourceSpec(endpoint=SPEC.endpoint, context="other"),
        SourceSpec(("https://10.96.0.1",)),
        # Their names are left out of the objects of a source where nobody asks for them
        SourceSpec(endpoint=SPEC.endpoint, pod_names=True),
    ],
)
def test_the_file_of_another_source(path, spec):
    path.write_bytes(FILE)
    assert "another cluster" in refusal(path, spec=spec)


@pytest.mark.parametrize(
    "spec",
    [
        SourceSpec(endpoint=SPEC.endpoint, snapshot="elsewhere"),
        SourceSpec(endpoint=SPEC.endpoint, qps=5.0, burst=1, inflight=3, patience=1.0, pods=True),
        SourceSpec(endpoint=SPEC.endpoint, tls=("cert", "key", "ca")),
    ],
)
def test_how_a_source_is_asked_does_not_make_it_another(path, spec):
    path.write_bytes(FILE)
    assert snapshot(path, spec).read(NOW) == CONTENT


def test_what_is_no_file(path):
    path.mkdir()
    assert "Is a directory" in refusal(path)
    path.rmdir()
    os.mkfifo(path)
    assert "it is no file" in refusal(path)


def test_a_file_that_is_too_large(path):
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than 64 MiB" in refusal(path)


def test_a_broken_file_is_named_and_replaced(path):
    path.write_bytes(FILE[:-1])
    kept = snapshot(path)
    with pytest.raises(SourceError, match="checksum"):
        kept.read(NOW)
    assert kept.write(0.0, 7, NOW, STATE) == ""
    assert kept.read(NOW) == CONTENT


# Seconds since the file was written, serial, seconds for which the source was heard since, whether a new one is due
DUE = [
    (0.0, 7, 0, False),
    (PAUSE - 0.1, 8, 4, False),
    (PAUSE, 8, 4, True),
    (PAUSE, 7, 4, False),
    (REFRESH, 7, REFRESH - 1, False),
    (REFRESH, 7, REFRESH, True),
    # The API server is gone: nothing is known any better
    (10 * REFRESH, 7, 3, False),
    # The clock was put back
    (REFRESH, 7, -3600, True),
]


@pytest.mark.parametrize(("later", "serial", "heard", "due"), DUE)
def test_when_a_file_is_due(path, later, serial, heard, due):
    kept = snapshot(path)
    assert kept.due(100.0, 7, NOW)
    kept.write(100.0, 7, NOW, STATE)
    assert kept.due(100.0 + later, serial, NOW + heard) is due


def test_the_time_in_the_file_is_that_of_the_watch(path):
    kept = snapshot(path)
    kept.write(100.0, 7, NOW, STATE)
    kept.write(200.0, 7, NOW + 61, STATE)
    assert decode(path.read_bytes()).heard == NOW + 61


def test_a_directory_that_is_not_there_is_named_once(path):
    kept = snapshot(path.parent / "none" / "state")
    told = f"{path.parent}/none/state"
    assert kept.write(0.0, 7, NOW, STATE) == f"{told}: is not kept: No such file or directory; create its directory"
    assert kept.write(30.0, 8, NOW, STATE) == ""
    (path.parent / "none").mkdir()
    assert kept.write(60.0, 8, NOW, STATE) == f"{told}: is good again"
    assert kept.write(90.0, 9, NOW, STATE) == ""
    assert kept.read(NOW).serial == 9


def test_what_failed_is_tried_again_later(path):
    kept = snapshot(path / "none")
    kept.write(0.0, 7, NOW, STATE)
    assert not kept.due(RETRY - 1, 8, NOW)
    assert kept.due(RETRY, 7, NOW)


def test_a_state_that_is_too_large_is_named_once_and_the_file_stays(path):
    kept = snapshot(path)
    kept.write(0.0, 7, NOW, STATE)
    large = [(b"%d" % n, bytes(1024 * 1024)) for n in range(64)]
    text = kept.write(10.0, 8, NOW, large)
    assert text.startswith(f"{path}: is not kept: the state has more than 64 MiB; ")
    assert kept.write(50.0, 9, NOW, large) == ""
    assert kept.read(NOW) == CONTENT
    assert kept.write(90.0, 10, NOW, STATE) == f"{path}: is good again"


def test_what_cannot_be_compressed_can_be_read_again(path):
    """The largest state there may be fits the largest file."""
    room = MAX_BYTES - 64 * 1024
    noise = random.Random(7).randbytes(1 << 20)
    keys = [b"%04d" % n for n in range(room // (len(noise) + 12))]
    rest = room - len(keys) * (len(noise) + 12)
    state = [*((key, noise) for key in keys), (b"last", noise[: rest - 12])]
    assert snapshot(path).write(0.0, 7, NOW, state) == ""
    assert room < os.stat(path).st_size <= MAX_BYTES
    assert "no object" in refusal(path)


def test_a_write_that_fails_leaves_the_file_and_nothing_else(path):
    path.mkdir()
    kept = snapshot(path)
    assert "is not kept: Is a directory" in kept.write(0.0, 7, NOW, STATE)
    assert os.listdir(path.parent) == ["state"]


def test_what_a_killed_process_left_is_cleaned_up(path):
    left = path.parent / "state.new"
    left.write_bytes(FILE[:40])
    left.chmod(0o666)
    assert snapshot(path).write(0.0, 7, NOW, STATE) == ""
    assert os.listdir(path.parent) == ["state"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_link_left_in_the_way_is_not_followed(path):
    """Whoever may write to the directory cannot have another file overwritten."""
    other = path.parent / "other"
    other.write_text("precious")
    (path.parent / "state.new").symlink_to(other)
    assert snapshot(path).write(0.0, 7, NOW, STATE) == ""
    assert other.read_text() == "precious"
    assert not path.is_symlink()


def test_a_path_that_is_not_printable_is_shown_escaped(path):
    assert snapshot(f"{path}\n/x").write(0.0, 7, NOW, STATE).startswith(f"{path}\\n/x: is not kept: ")

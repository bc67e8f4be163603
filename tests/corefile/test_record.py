"""What was read once is read again by others, whatever has become of the files."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterdns.corefile.parser import Parsed, parse
from clusterdns.corefile.reader import Reader
from clusterdns.corefile.record import Record, Recorder, Replay
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.net.machine import Machine
from clusterdns.plugins.build import Config
from clusterdns.roles.load import load, load_again
from clusterdns.settings import Settings
from tests.corefile.files import Files
from tests.corefile.test_random_text import SOUP

FILE = "/c/Corefile"
SETTINGS = Settings(corefile=FILE)


class Host(Files):
    """Files, and a host with a name and an interface."""

    def resolve(self, host: str) -> list[str]:
        return {"dns.example": ["192.0.2.1", "192.0.2.2"]}.get(host, [])

    def interface(self, name: str) -> list[str]:
        return {"lo": ["127.0.0.1", "::1"]}.get(name, [])

    def local_addresses(self) -> list[str]:
        return ["192.0.2.7"]


class Gone:
    """A host that nothing can be asked of any more."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked")


def recorded(files: dict[str, str], variables: dict[str, str] | None = None) -> Record:
    recorder = Recorder(Host(files, variables))
    parse(FILE, recorder)
    return recorder.record()


def outcome(parsed: Parsed) -> tuple[object, ...]:
    return parsed.blocks, parsed.warnings, [str(error) for error in parsed.errors]


@given(SOUP, SOUP, SOUP, st.booleans())
def test_the_same_bytes_say_the_same(text, one, other, missing):
    """With all mistakes, through bytes, after everything has changed."""
    files = {FILE: text, "/c/a.conf": one, "/c/b.conf": other, "/c/s": other}
    if missing:
        del files["/c/a.conf"]
    reader = Host(files, {"X": one})
    recorder = Recorder(reader)
    first = outcome(parse(FILE, recorder))
    assert first == outcome(parse(FILE, reader))
    files.clear()
    reader.variables = {"X": "other"}
    record = Record.decode(recorder.record().encode())
    assert record == recorder.record()
    assert outcome(parse(FILE, Replay(record))) == first


EVERYTHING = {
    FILE: "import blocks/*.conf\n(common) {\n errors\n log\n}\n",
    "/c/blocks/one.conf": ".:{$PORT} {\n bind lo\n forward . /etc/resolv.conf\n}\n",
    "/c/blocks/two.conf": """cluster.local {
 bind lo
 kubernetes {
  kubeconfig /etc/kubeconfig
  labels app=x
 }
 forward . dns.example
 ready 127.0.0.1:8181
}
""",
    "/etc/resolv.conf": "nameserver 192.0.2.53\n",
    "/etc/kubeconfig": "",
}


def summary(config: Config) -> list[object]:
    shared = config.shared
    listeners = [(each.address, each.port, each.zones) for each in config.listeners]
    return [listeners, list(shared.stores), shared.process, shared.warnings]


def test_the_same_record_makes_the_same_configuration():
    recorder = Recorder(Host(EVERYTHING, {"PORT": "5300"}))
    config = load(SETTINGS, recorder, print)
    record = Record.decode(recorder.record().encode())
    assert summary(load_again(SETTINGS, record, print)) == summary(config)
    assert [each.port for each in config.listeners] == [5300, 5300, 53, 53]
    # Who replays asks the host for nothing: what both have loaded is what one has read
    assert {answer.method for answer in record.answers} >= {"text", "glob", "exists", "env", "interface"}


@pytest.mark.parametrize("missing", ["/etc/resolv.conf", "/etc/kubeconfig", FILE])
def test_mistakes_are_the_same(missing):
    files = {path: text for path, text in EVERYTHING.items() if path != missing}
    recorder = Recorder(Host(files, {"PORT": "5300"}))
    with pytest.raises(ConfigErrors) as first:
        load(SETTINGS, recorder, print)
    with pytest.raises(ConfigErrors) as again:
        load_again(SETTINGS, recorder.record(), print)
    assert str(again.value) == str(first.value)


def test_without_a_corefile_that_is_remembered():
    recorder = Recorder(Files())
    config = load(Settings(port=5300), recorder, print)
    assert summary(load_again(Settings(port=5300), recorder.record(), print)) == summary(config)


def test_each_question_is_asked_once():
    reader = Files({FILE: "", "/c/a": "one"})
    recorder = Recorder(reader)
    assert [recorder.text("/c/a"), recorder.text("/c/a")] == ["one", "one"]
    reader.files = {}
    assert recorder.text("/c/a") == "one"
    assert reader.reads == 1


def ask_everything(reader: Reader) -> list[object]:
    answers: list[object] = []
    for ask in (
        lambda: reader.text("/c/a"),
        lambda: reader.text("/c/none"),
        lambda: reader.text(""),
        lambda: reader.exists("/c/a"),
        lambda: reader.exists(""),
        lambda: reader.glob("/c/*"),
        lambda: reader.env("X"),
        lambda: reader.env(""),
        lambda: reader.resolve("dns.example"),
        lambda: reader.interface("lo"),
        reader.local_addresses,
    ):
        try:
            answers.append(ask())
        except ClusterDNSError as error:
            answers.append(str(error))
    return answers


def test_every_method_says_what_the_reader_says():
    reader = Host({"/c/a": "one"}, {"X": "y"})
    recorder = Recorder(reader)
    first = ask_everything(reader)
    assert ask_everything(recorder) == first
    assert ask_everything(Replay(Record.decode(recorder.record().encode()))) == first


def test_what_was_not_asked_before_is_an_error():
    with pytest.raises(ClusterDNSError, match="text /c/a: was not read when this configuration was loaded first"):
        Replay(Record(())).text("/c/a")


CHANGES = {
    "a text": ({FILE: "import *.conf\n", "/c/a.conf": "", "/c/b.conf": "a {\n}\n"}, True),
    "an empty file more": ({FILE: "import *.conf\n", "/c/a.conf": "", "/c/b.conf": "", "/c/c.conf": ""}, True),
    "a file less": ({FILE: "import *.conf\n", "/c/a.conf": ""}, True),
    "the Corefile": ({FILE: "import *.conf\n\n", "/c/a.conf": "", "/c/b.conf": ""}, True),
    "no Corefile": ({}, True),
    "a file that nobody reads": (
        {FILE: "import *.conf\n", "/c/a.conf": "", "/c/b.conf": "", "/c/other": ""},
        False,
    ),
    "nothing": ({FILE: "import *.conf\n", "/c/a.conf": "", "/c/b.conf": ""}, False),
}


@pytest.mark.parametrize(("files", "changed"), CHANGES.values(), ids=CHANGES)
def test_the_digest_changes_with_what_was_read(files, changed):
    record = recorded({FILE: "import *.conf\n", "/c/a.conf": "", "/c/b.conf": ""})
    fresh = record.again(Files(files))
    assert (fresh.digest != record.digest) is changed


def test_what_a_pattern_does_not_match_any_more_is_not_missed():
    """But what is named is."""
    files = {FILE: "import *.conf\nimport named\n", "/c/a.conf": "", "/c/b.conf": "", "/c/named": ""}
    record = recorded(files)
    for gone, missed in (("/c/a.conf", []), ("/c/named", ["/c/named: no such file"])):
        left = {path: text for path, text in files.items() if path != gone}
        assert [answer.error for answer in record.again(Files(left)).answers if answer.error] == missed


def test_a_file_that_cannot_be_read_is_not_an_empty_one():
    files = {FILE: "import x\n"}
    assert recorded(files).digest != recorded({**files, "/c/x": ""}).digest


def test_the_environment_is_not_looked_at_again():
    """It cannot change; names and interfaces may at any time, and are no reason to load again."""
    files = {FILE: "{$X} {\n bind lo\n}\n"}
    record = recorded(files, {"X": "a.test"})
    assert record.digest == recorded(files, {"X": "b.test"}).digest
    assert {answer.method for answer in record.again(Files(files)).answers} == {"text"}


@given(st.dictionaries(st.sampled_from(["/c/a", "/c/b"]), st.text(max_size=3)), st.text(max_size=3))
def test_the_digest_tells_texts_apart(files, text):
    def record(files: dict[str, str]) -> Record:
        recorder = Recorder(Files(files))
        for path in ("/c/a", "/c/b"):
            if recorder.exists(path):
                recorder.text(path)
        return recorder.record()

    other = {**files, "/c/a": text}
    assert (record(files).digest == record(other).digest) is (files == other)


def test_what_is_not_utf_8_can_be_passed_on(tmp_path, monkeypatch):
    """Variables and names of files may be any octets; what is passed on is read by all alike."""
    with open(os.fsencode(tmp_path) + b"/\xff.conf", "w"):
        monkeypatch.setenv("CLUSTERDNS_TEST", os.fsdecode(b"a\xff"))
    recorder = Recorder(Machine())
    variable, found = recorder.env("CLUSTERDNS_TEST"), recorder.glob(f"{tmp_path}/*.conf")
    assert (variable, found) == ("a?", [f"{tmp_path}/?.conf"])
    record = Record.decode(recorder.record().encode())
    replay = Replay(record)
    assert (replay.env("CLUSTERDNS_TEST"), replay.glob(f"{tmp_path}/*.conf")) == (variable, found)
    assert record.again(Machine()).digest == record.digest


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"{}", b"\x81\xa7answers\x91\xc0", Record(()).encode()[:-1]])
def test_what_is_no_record_is_an_error(raw):
    with pytest.raises(ClusterDNSError, match="no record of a configuration"):
        Record.decode(raw)

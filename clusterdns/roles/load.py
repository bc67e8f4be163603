"""Corefile to configuration, as `serve`, `check` and a reload load it."""

from collections.abc import Callable, Mapping

from clusterdns.corefile.parser import Parsed, parse, parse_text
from clusterdns.corefile.reader import Reader
from clusterdns.corefile.record import Record, Replay
from clusterdns.kube.selectors import Selector
from clusterdns.kube.store import Store
from clusterdns.plugins.build import Config, build
from clusterdns.plugins.site import SourceSpec
from clusterdns.settings import DEFAULT_COREFILE, Settings

# Stores of the configuration before, to be used again
Kept = Mapping[tuple[SourceSpec, Selector], Store]
Write = Callable[[str], None]


def load(settings: Settings, reader: Reader, write: Write, kept: Kept | None = None) -> Config:
    """Raises ConfigErrors with every mistake."""
    parsed = _parsed(settings, reader)
    if not parsed.blocks and not parsed.errors:
        parsed = parse_text(DEFAULT_COREFILE.format(port=settings.port), "built-in default", reader)
    return build(parsed, reader, settings.port, write, kept)


def load_again(settings: Settings, record: Record, write: Write, kept: Kept | None = None) -> Config:
    """What another process loaded, from the same bytes.  Raises ConfigErrors."""
    return load(settings, Replay(record), write, kept)


def _parsed(settings: Settings, reader: Reader) -> Parsed:
    if settings.text:
        return parse_text(settings.text, "built-in demo", reader)
    if settings.corefile:
        return parse(settings.corefile, reader)
    return parse("Corefile", reader) if reader.exists("Corefile") else Parsed((), (), ())

"""Corefile to configuration, as `serve` and `check` load it."""

from collections.abc import Callable

from clusterdns.corefile.parser import Parsed, parse, parse_text
from clusterdns.corefile.reader import Reader
from clusterdns.plugins.build import Config, build
from clusterdns.settings import DEFAULT_COREFILE, Settings


def load(settings: Settings, reader: Reader, write: Callable[[str], None]) -> Config:
    """Raises ConfigErrors with every mistake."""
    parsed = _parsed(settings, reader)
    if not parsed.blocks and not parsed.errors:
        parsed = parse_text(DEFAULT_COREFILE.format(port=settings.port), "built-in default", reader)
    return build(parsed, reader, settings.port, write)


def _parsed(settings: Settings, reader: Reader) -> Parsed:
    if settings.text:
        return parse_text(settings.text, "built-in demo", reader)
    if settings.corefile:
        return parse(settings.corefile, reader)
    return parse("Corefile", reader) if reader.exists("Corefile") else Parsed((), (), ())

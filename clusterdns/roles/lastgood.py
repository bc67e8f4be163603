"""The last Corefile that was good, for a restart while the present one is not."""

import logging
import os
from pathlib import Path

from clusterdns.corefile.record import Record
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.plugins.build import Config
from clusterdns.roles.load import Write, load_again
from clusterdns.settings import DEFAULT_STATE, Settings

_NAME = "corefile.last-good"
# Octets; what a Corefile is made of is bounded by what is read of each file
_LARGEST = 64 * 1024 * 1024

_log = logging.getLogger("clusterdns")


def usable(directory: str) -> bool:
    """Can anything be kept there?"""
    return bool(directory) and os.path.isdir(directory) and os.access(directory, os.W_OK)


def load(settings: Settings, error: ConfigErrors, write_line: Write) -> tuple[Config, Record]:
    """The last good configuration in place of the present one, which is `error`; says so.  Raises `error` when there
    is none that can be used."""
    try:
        record = read(settings.state)
        config = load_again(settings, record, write_line)
    except ClusterDNSError:
        raise error from None
    _log.error("%s", error)
    _log.error("started with the last good Corefile, kept in %s; mend the Corefile", settings.state)
    return config, record


def begin(directory: str) -> None:
    """Say it if nothing is going to be kept; where nobody made the usual directory nobody expects it."""
    if directory and not usable(directory):
        level = logging.DEBUG if directory == DEFAULT_STATE and not os.path.exists(directory) else logging.INFO
        text = "the last good Corefile is not kept: %s is no directory that can be written to (--state)"
        _log.log(level, text, directory)


def write(directory: str, record: Record) -> None:
    """Replaces what was kept, as a whole; a directory that cannot be written to is no hindrance."""
    if not usable(directory):
        return
    target = Path(directory, _NAME)
    fresh = target.with_suffix(".new")
    try:
        raw = record.encode()
        if target.exists() and target.read_bytes() == raw:
            return
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except OSError as error:
        _log.warning("the last good Corefile is not kept in %s: %s", directory, error.strerror)


def read(directory: str) -> Record:
    """Raises ClusterDNSError when there is none that can be used."""
    path = Path(directory, _NAME)
    try:
        # Opening a pipe would wait for its writer
        if not directory or not path.is_file() or path.stat().st_size > _LARGEST:
            raise ClusterDNSError("no last good Corefile is kept")
        return Record.decode(path.read_bytes())
    except OSError as error:
        raise ClusterDNSError(f"{path} cannot be read: {error.strerror}") from error

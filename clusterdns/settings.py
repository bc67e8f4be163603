"""What the command line decides; passed down, never imported as state."""

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One process's settings."""

    corefile: str = ""
    """Path of the Corefile; empty: `./Corefile` if there is one, else the built-in default."""

    port: int = 53
    """Port of server blocks whose key gives none."""

    level: str = "info"
    """Least severe level of the program log: debug, info, warning or error."""

    text: str = ""
    """A Corefile's text, instead of a path."""

    workers: int | None = None
    """Processes that answer; 0: everything in one process; -1: as many as the cgroup grants; None: the Corefile says,
    else one."""

    state: str = ""
    """Directory that the last good Corefile is kept in; empty: none."""

    quiet: bool = False
    """Leave out the lines that say what is served."""


DEFAULT_STATE = "/var/lib/clusterdns"
"""Where the last good Corefile is kept, if that is a directory."""

DEFAULT_COREFILE = """\
.:{port} {{
    whoami
    log
}}
"""
"""CoreDNS's default, for when there is no Corefile."""

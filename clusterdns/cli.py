"""The command line: `serve`, `check`, `demo`, and CoreDNS's own flags without a subcommand."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clusterdns import __version__
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.roles.output import LineWriter
from clusterdns.roles.slots import MAX_WORKERS
from clusterdns.settings import DEFAULT_STATE, Settings

if TYPE_CHECKING:
    from clusterdns.roles.solo import Solo

# What each process needs is imported where it begins: the supervisor is to be small

LEVELS = ("debug", "info", "warning", "error")
# Mistakes shown at once; a file with more is not the file that was meant
MAX_SHOWN = 50

DEMO_ADDRESS, DEMO_PORT = "127.0.0.1", 1053
_DEMO_COREFILE = """\
.:{port} {{
    bind {address}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
        pods insecure
        ttl 5
    }}
    loadbalance
}}
"""
_DEMO_QUERIES = (
    ("a Service with a ClusterIP", "web.default.svc.cluster.local A"),
    ("a headless Service: one address for each pod", "db.data.svc.cluster.local A"),
    ("the named port of a headless Service", "_sql._tcp.db.data.svc.cluster.local SRV"),
    ("an ExternalName, followed to where it points", "docs.default.svc.cluster.local A"),
    ("a name from an address", "-x 10.244.1.11"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 for a failed start or a bad Corefile."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] not in (*_COMMANDS, "-h", "--help", "--version"):
        # A stock Deployment starts CoreDNS with flags alone: ["-conf", "/etc/coredns/Corefile"]
        args.insert(0, "serve")
    options = _parser().parse_args(args)
    try:
        return _COMMANDS[options.command](options)
    except ConfigErrors as errors:
        shown = [str(error) for error in errors.errors[:MAX_SHOWN]]
        more = len(errors.errors) - len(shown)
        _fail(*shown, *([f"and {more} more mistakes"] if more else []))
    except ClusterDNSError as error:
        _fail(str(error))
    return 1


def _serve(options: argparse.Namespace) -> int:
    if options.show_version:
        print(f"clusterdns-{__version__}")
        return 0
    settings = Settings(
        corefile=options.conf or "",
        port=options.dns_port,
        level=options.log_level,
        workers=options.workers,
        state=options.state,
        quiet=options.quiet,
    )
    return _run(settings) if settings.workers == 0 else _supervise(settings)


def _supervise(settings: Settings) -> int:
    from clusterdns.roles.supervisor import Supervisor

    writer = LineWriter()
    try:
        return Supervisor(settings, writer.write).run()
    finally:
        writer.close()


def _child(options: argparse.Namespace) -> int:
    """A process that the supervisor starts."""
    import asyncio

    import msgspec

    from clusterdns.roles.child import Options, start

    settings = msgspec.json.decode(options.settings, type=Settings)
    given = Options(options.index, options.control, options.slots, options.feed, settings)
    if options.command == "controller":
        from clusterdns.roles.controller import Controller

        return start(Controller, given, asyncio.new_event_loop)
    from clusterdns.roles.loop import SharedLoop
    from clusterdns.roles.worker import Worker

    return start(Worker, given, SharedLoop)


def _check(options: argparse.Namespace) -> int:
    from clusterdns.net.machine import Machine
    from clusterdns.roles.load import load

    settings = Settings(corefile=options.conf or "", port=options.dns_port)
    config = load(settings, Machine(), lambda _: None)
    for warning in config.shared.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    zones = [f"{zone}:{listener.port}" for listener in config.listeners for zone in listener.zones]
    name = settings.corefile or ("Corefile" if Machine().exists("Corefile") else "the built-in default")
    print(f"{name} is good: it serves {', '.join(zones) or 'nothing'}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    text = _DEMO_COREFILE.format(address=DEMO_ADDRESS, port=DEMO_PORT, manifests=_demo_manifests())

    def greet(_: "Solo") -> None:
        print(f"A cluster's DNS from manifests, on {DEMO_ADDRESS}:{DEMO_PORT}. Ask it from another terminal:\n")
        for what, question in _DEMO_QUERIES:
            print(f"# {what}\ndig @{DEMO_ADDRESS} -p {DEMO_PORT} +noall +answer {question}\n")
        print("Ctrl-C stops it.", flush=True)

    return _run(Settings(quiet=True, text=text), greet)


def _demo_manifests() -> Path:
    """Installed beside the package, or in the checkout."""
    package = Path(__file__).parent
    installed = package / "demo"
    return installed if installed.is_dir() else package.parent / "config" / "demo"


def _run(settings: Settings, ready: "Callable[[Solo], None]" = lambda _: None) -> int:
    import asyncio

    from clusterdns.roles.output import set_up_logging
    from clusterdns.roles.solo import serve

    writer = LineWriter()
    set_up_logging(settings.level, writer.write)
    try:
        asyncio.run(serve(settings, writer.write, ready))
    finally:
        writer.close()
    if writer.dropped:
        _fail(f"{writer.dropped} lines of the log were left out: nobody read standard output fast enough")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "check": _check,
    "demo": _demo,
    "controller": _child,
    "worker": _child,
}


def _fail(*lines: str) -> None:
    for line in lines:
        print(f"clusterdns: {line}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "clusterdns", description="A DNS server for Kubernetes clusters.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"clusterdns-{__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{serve,check,demo}")
    serving = commands.add_parser("serve", help="answer queries as a Corefile says", allow_abbrev=False)
    _add_corefile(serving)
    serving.add_argument(
        "--workers",
        type=_workers,
        metavar="N|auto",
        help="processes that answer (default: what multisocket says, else 1); auto: what CPUs and memory allow; "
        "0: everything in one process",
    )
    serving.add_argument(
        "--state",
        default=DEFAULT_STATE,
        metavar="DIR",
        help=f"keeps the last good Corefile, where it is a writable directory (default {DEFAULT_STATE})",
    )
    serving.add_argument("--log-level", choices=LEVELS, default="info", help="least severe level of the program log")
    serving.add_argument("-quiet", "--quiet", action="store_true", help="do not say at the start what is served")
    serving.add_argument("-version", "--version", dest="show_version", action="store_true", help="show the version")
    checking = commands.add_parser("check", help="load a Corefile and report every mistake", allow_abbrev=False)
    _add_corefile(checking)
    for role in ("controller", "worker"):
        _add_child(commands.add_parser(role, allow_abbrev=False))
    commands.add_parser("demo", help=f"serve a small cluster on {DEMO_ADDRESS}:{DEMO_PORT}", allow_abbrev=False)
    return parser


def _add_child(parser: argparse.ArgumentParser) -> None:
    """For the supervisor; nobody else has these descriptors."""
    for name in ("--index", "--control", "--slots"):
        parser.add_argument(name, type=int, required=True, help=argparse.SUPPRESS)
    for name in ("--feed", "--settings"):
        parser.add_argument(name, required=True, help=argparse.SUPPRESS)


def _add_corefile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--conf", "-conf", metavar="FILE", help="Corefile (default: ./Corefile, else built in)")
    parser.add_argument(
        "--dns-port",
        "-dns.port",
        "--dns.port",
        "-p",
        type=_port,
        default=53,
        metavar="N",
        help="port of keys without one (default 53)",
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"a port from 0 to 65535, not {text!r}")


def _workers(text: str) -> int:
    if text == "auto":
        return -1
    if text.isascii() and text.isdigit() and int(text) <= MAX_WORKERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 0 to {MAX_WORKERS}, or auto, not {text!r}")

"""A network namespace of a test's own: ports below 1024, cluster addresses on lo, a resolv.conf. Needs root."""

import contextlib
import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

# tests/conformance/README.md: an endpoint of kube-dns, and two more addresses of the server's machine.
SERVER_ADDRESSES = ("10.244.0.20", "10.244.0.50", "10.240.0.1")

# ip-netns(8): a file here is mounted over its namesake in /etc for `ip netns exec`.
_ETC = Path("/etc/netns")
_RUN = Path("/run/netns")
# <linux/sched.h>; os.setns is there from Python 3.12 on.
_CLONE_NEWNET = 0x40000000
# Seconds: no command of a test takes as long.
_DEADLINE = 30.0


class NamespaceError(Exception):
    """A namespace could not be made or changed; the text says what ip said."""


class Namespace:
    """A namespace with lo up and `addresses` on it, while the context is open.

    `etc` maps a file name to its content for commands in the namespace, `{"resolv.conf": "..."}`. What
    a test started in the namespace it ends itself before it leaves. Raises NamespaceError.
    """

    def __init__(self, addresses: tuple[str, ...] = SERVER_ADDRESSES, etc: Mapping[str, str] | None = None) -> None:
        # Unique beside other workers and after a run that was killed.
        self.name = f"clusterdns-{os.getpid()}-{secrets.token_hex(4)}"
        self._addresses = addresses
        self._etc = dict(etc or {})

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        try:
            self._furnish()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def add_address(self, address: str) -> None:
        """One more IPv4 or IPv6 address on lo."""
        _ip("-n", self.name, "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")

    def command(self, *argv: str) -> list[str]:
        """`argv` as a command that runs in the namespace; `ip` becomes the program, so the pid is its own."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, timeout: float = _DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and keep its output; `timeout` in seconds, else TimeoutExpired."""
        return subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=timeout, check=False)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and the threads it starts, make their sockets in the namespace; they stay there."""
        with _RUN.joinpath(self.name).open("rb") as inside, Path("/proc/thread-self/ns/net").open("rb") as here:
            _set_namespace(inside.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())

    def _furnish(self) -> None:
        _ip("-n", self.name, "link", "set", "lo", "up")
        for address in self._addresses:
            self.add_address(address)
        for file, content in self._etc.items():
            folder = _ETC / self.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(content)

    def _remove(self) -> None:
        shutil.rmtree(_ETC / self.name, ignore_errors=True)
        _ip("netns", "delete", self.name)


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=_DEADLINE, check=False)
    except FileNotFoundError as error:
        raise NamespaceError("these tests need the command ip: install iproute2") from error
    if done.returncode != 0:
        raise NamespaceError(
            f"ip {' '.join(arguments)}: {done.stderr.strip()} "
            "(network namespaces need root, in a container CAP_SYS_ADMIN and CAP_NET_ADMIN)"
        )


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise NamespaceError(f"setns: {os.strerror(ctypes.get_errno())}")

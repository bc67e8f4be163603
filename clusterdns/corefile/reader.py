"""The one door through which configuration sees files, the environment and the host."""

from typing import Protocol


class Reader(Protocol):
    """What loading a configuration may ask of the machine. The implementation lives at the edge."""

    def text(self, path: str) -> str:
        """The file's text.  Raises ClusterDNSError naming the path and the reason."""

    def exists(self, path: str) -> bool:
        """Is there a file or directory at `path`?"""

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted."""

    def env(self, name: str) -> str:
        """Environment variable, empty when unset."""

    def resolve(self, host: str) -> list[str]:
        """Host name -> addresses by the system's resolver, empty when it does not resolve."""

    def interface(self, name: str) -> list[str]:
        """Addresses of a network interface, empty when there is none of that name."""

    def local_addresses(self) -> list[str]:
        """Addresses of this machine that are neither loopback nor link-local."""

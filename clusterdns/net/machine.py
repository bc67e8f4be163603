"""The machine as a configuration sees it: files, environment, names, interfaces."""

import glob
import ipaddress
import os
import socket

import psutil

from clusterdns.errors import ClusterDNSError

# A Corefile or resolv.conf beyond this is a mistake (octets)
LARGEST_FILE = 16 * 1024 * 1024


class Machine:
    """Implements `corefile.reader.Reader`."""

    def text(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                found = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise ClusterDNSError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            # Not UTF-8, or a NUL in the path
            raise ClusterDNSError(f"{path!r} cannot be read: {error}") from error
        if len(found) > LARGEST_FILE:
            raise ClusterDNSError(f"{path} is larger than {LARGEST_FILE} octets")
        return found

    def exists(self, path: str) -> bool:
        return "\0" not in path and os.path.exists(path)

    def glob(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern))

    def env(self, name: str) -> str:
        return os.environ.get(name, "")

    def resolve(self, host: str) -> list[str]:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def interface(self, name: str) -> list[str]:
        return self.interfaces().get(name, [])

    def local_addresses(self) -> list[str]:
        every = [
            ipaddress.ip_address(text) for texts in self.interfaces().values() for text in texts if "%" not in text
        ]
        return [str(address) for address in sorted(every, key=lambda each: each.packed) if not address.is_loopback]

    def interfaces(self) -> dict[str, list[str]]:
        """Addresses by interface; link-local ones carry their interface behind a %."""
        families = (socket.AF_INET, socket.AF_INET6)
        return {
            name: [entry.address for entry in entries if entry.family in families]
            for name, entries in psutil.net_if_addrs().items()
        }

#!/usr/local/lib/clusterdns/bin/python
"""clusterdns in its image, with the arguments that CoreDNS takes.

For port 53 a user other than root needs either the sysctl net.ipv4.ip_unprivileged_port_start, which config/base sets,
or the capability NET_BIND_SERVICE, which CoreDNS's manifest adds. The kernel gives the capability to a program whose
file has it (grant.py), if the pod may have it; the program has to take it up itself.
"""

import struct

from clusterdns.__main__ import run

# <linux/capability.h>
_VERSION_3 = 0x20080522


def permitted() -> int:
    """A bit for each capability that this process may use."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))


def take_up(capabilities: int) -> None:
    """Where it fails, listening fails too, and says so."""
    # Half a megabyte that other pods can do without
    import ctypes

    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    # Effective, permitted, inheritable: the lower 32, then the upper
    sets = struct.pack("6I", low, low, 0, high, high, 0)
    ctypes.CDLL(None).capset(struct.pack("Ii", _VERSION_3, 0), sets)


if __name__ == "__main__":
    if held := permitted():
        take_up(held)
    run()

"""grant.py FILE: let FILE, a program, listen on ports below 1024 wherever the pod may. entrypoint.py says how.

As `setcap cap_net_bind_service=p FILE`, which the base image does not have.
"""

import os
import struct
import sys

# <linux/capability.h>. Not with the flag "effective": then the kernel would not start the file in a pod that may not
# have the capability.
VFS_CAP_REVISION_2, NET_BIND_SERVICE = 0x02000000, 10

# Permitted and inheritable: the lower 32 capabilities, then the upper
value = struct.pack("<5I", VFS_CAP_REVISION_2, 1 << NET_BIND_SERVICE, 0, 0, 0)
os.setxattr(sys.argv[1], "security.capability", value)

"""What every process of ours sets up about itself. The supervisor too: no asyncio here, it costs 3 MB."""

import gc
import resource

# Allocations between two looks of the collector at young objects: entries of the memo are many and hold no cycles.
_GC_YOUNG = 50_000


def raise_descriptor_limit() -> None:
    """256 ports for each upstream and 2,000 TCP clients need more than the usual soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_memory() -> None:
    """What is there after the start stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG, 20, 100)

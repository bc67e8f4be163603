"""Programming latency: seconds from a change of the cluster until this server has it.

The metric is Kubernetes' (SIG scalability, "DNS programming latency"): from the trigger time that the EndpointSlice
controller writes on a slice, by the kind of its Service.
"""

from bisect import bisect_left
from datetime import datetime
from math import inf

# RFC 3339, written by the EndpointSlice controller; absent where nothing but the slice itself changed
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
# Upper bounds in seconds, as CoreDNS has them
BOUNDS: tuple[float, ...] = tuple(0.001 * 2.0**n for n in range(20))

CLUSTER_IP, HEADLESS = "cluster_ip", "headless_with_selector"
# The third exists for dashboards and stays empty: without a selector no controller writes the slices
SERVICE_KINDS = (CLUSTER_IP, HEADLESS, "headless_without_selector")


class Histogram:
    """`counts`: of each bucket alone, the last for what is above all bounds. `total`: the sum in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """A clock that is behind the cluster's gives no negative latency."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket that this share of all is not above, in seconds; infinite above all bounds."""
        left = share * sum(self.counts)
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            left -= count
            if left <= 0:
                return bound
        return inf


def unix_seconds(text: str) -> float | None:
    """An RFC 3339 time; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None

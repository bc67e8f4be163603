"""How fast one source may ask the API server: `apiserver_qps`, `apiserver_burst` and `apiserver_max_inflight`."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

# Requests at once where `apiserver_burst` does not say (client-go's default)
DEFAULT_BURST = 10


class Bucket:
    """A token bucket: `rate` requests each second, `burst` of them at once. Pure."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._tokens, self._since = float(burst), 0.0

    def take(self, now: float) -> float:
        """Seconds from `now` (monotonic) after which the request may go. Its place is taken with this call."""
        gained = max(0.0, now - self._since) * self._rate
        self._tokens = min(self._burst, self._tokens + gained) - 1
        self._since = max(now, self._since)
        return max(0.0, -self._tokens / self._rate)


class Gate:
    """Where the threads of one source wait until their request may go; 0 is no limit. `close` ends all waiting."""

    def __init__(self, qps: float = 0.0, burst: int = 0, inflight: int = 0) -> None:
        self._bucket = Bucket(qps, burst or DEFAULT_BURST) if qps else None
        self._places = threading.BoundedSemaphore(inflight) if inflight else nullcontext()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Holds a place in flight."""
        with self._places:
            if self._bucket is not None:
                with self._lock:
                    seconds = self._bucket.take(time.monotonic())
                self._closed.wait(seconds)
            yield

    def close(self) -> None:
        self._closed.set()

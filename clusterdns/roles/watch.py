"""The Corefile and all it was made of, looked at again and again."""

import asyncio
import logging
import random
from collections.abc import Callable

from clusterdns.corefile.reader import Reader
from clusterdns.corefile.record import Record

_log = logging.getLogger("clusterdns")


class CorefileWatch:
    """Calls `changed` when the files say something else than what was loaded last, or tried last."""

    def __init__(self, reader: Reader, changed: Callable[[], None]) -> None:
        self._reader, self._changed = reader, changed
        self._timer: asyncio.TimerHandle | None = None
        self._record = Record(())
        self._pause: tuple[float, float] | None = None
        self._said = ""

    def follow(self, record: Record, pause: tuple[float, float] | None) -> None:
        """What is compared from now on, loaded or refused; every so many seconds, and as many of jitter."""
        self._record, self._pause = record, pause
        self._schedule()

    def fresh(self) -> Record:
        """What the files say now."""
        return self._record.again(self._reader)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        self.close()
        if self._pause is not None:
            # All replicas would reload in the same second
            seconds = self._pause[0] + random.uniform(0, self._pause[1])
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._schedule()
        fresh = self.fresh()
        trouble = next((answer.error for answer in fresh.answers if answer.error), "")
        if trouble and trouble not in {answer.error for answer in self._record.answers}:
            # A ConfigMap is being replaced, or was taken away: what was loaded is served on
            if trouble != self._said:
                _log.error("reload: %s; the configuration that was loaded is served on", trouble)
            self._said = trouble
            return
        self._said = ""
        if fresh.digest != self._record.digest:
            self._changed()

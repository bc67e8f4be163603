"""Lines to standard output, and the program log."""

import logging
import queue
import sys
import threading
import traceback
from collections.abc import Callable

# Lines that wait for whoever reads standard output; more are dropped and counted. 10,000 lines are some 2 MB.
MAX_WAITING = 10_000
# Octets after which a write is full: the last line makes it hardly longer than 4,096
_AT_ONCE = 3_500
# Seconds between two stack traces: the first says what is wrong, the thousandth fills the disk.
TRACE_INTERVAL = 10.0


class LineWriter:
    """Writes lines from a thread, so that a reader that stops reading never stops the server."""

    def __init__(self) -> None:
        self.dropped = 0
        self._encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        if self._lines.qsize() >= MAX_WAITING:
            self.dropped += 1
        else:
            self._lines.put(line)

    def _write(self, text: str) -> None:
        if sys.stdout is not None:
            sys.stdout.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
            sys.stdout.flush()

    def close(self) -> None:
        """Write what waits, for a second at most."""
        self._lines.put(None)
        self._thread.join(1.0)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            lines = [line]
            size = len(line)
            # Several processes write to one pipe: what is longer may be torn (PIPE_BUF of pipe(7))
            while size < _AT_ONCE and not self._lines.empty() and (line := self._lines.get_nowait()) is not None:
                lines.append(line)
                size += len(line)
            try:
                self._write("\n".join(lines) + "\n")
            except (OSError, ValueError):
                # Nobody reads any more: answering goes on
                return
            if line is None:
                return


class _Handler(logging.Handler):
    """The program log in CoreDNS's form: `[WARNING] text`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        self._write(f"[{record.levelname}] {text}")


def set_up_logging(level: str, write: Callable[[str], None]) -> None:
    """`level`: debug, info, warning or error."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(write)]
    root.setLevel(level.upper())
    # asyncio says at info what nobody asked
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class BugReporter:
    """Logs what should not happen: one stack trace in a while, and how many there were in between."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next, self._silent = 0.0, 0

    def __call__(self, error: BaseException, where: str) -> None:
        now = self._clock()
        if now < self._next:
            self._silent += 1
            return
        more = f" ({self._silent} more since the last report)" if self._silent else ""
        self._next, self._silent = now + TRACE_INTERVAL, 0
        logging.getLogger("clusterdns").error("a bug %s%s; please report it", where, more, exc_info=error)

"""Starting, watching and ending the other processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from clusterdns.roles.control import Channel, pair
from clusterdns.roles.slots import BEGINNING, CONTROLLER, HOPELESS, Phase, Slots

# What keeps the C library of the controller from keeping memory: pages of a list go back at once, and its threads share
# one pool. A worker allocates 256 KiB for each read of a connection, which must cost nothing.
# Who sets these himself is left alone.
_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
# Seconds before a process is started again that never came to serve: doubled each time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
# Seconds after which one has served well; how many may end before that until there is a pause, and how long that is
_WELL, _FREE, _PAUSE = 10.0, 5, 1.0
# Seconds after which a hung process that was told to say where it hangs is killed
_LAST_WORDS = 0.5


class Launcher:
    """What all children have in common. `settings`: encoded, for their command line."""

    def __init__(self, slots: Slots, feed: socket.socket, settings: str) -> None:
        self.slots, self.feed, self._settings = slots, feed, settings

    def start(self, index: int, theirs: socket.socket) -> subprocess.Popen[bytes]:
        """By exec: nothing of this process is in the other but what is passed. In a process group of its own: an
        interrupt from a terminal is for the supervisor."""
        role = "controller" if index == CONTROLLER else "worker"
        passed = [theirs.fileno(), self.slots.descriptor]
        argv = [sys.executable, "-P", "-m", "clusterdns", role, "--index", str(index)]
        argv += ["--control", str(theirs.fileno()), "--slots", str(self.slots.descriptor)]
        if index == CONTROLLER:
            passed.append(self.feed.fileno())
            argv += ["--feed", str(self.feed.fileno())]
        else:
            argv += ["--feed", self.feed.getsockname().hex()]
        argv += ["--settings", self._settings]
        environment = {**(_MALLOC if index == CONTROLLER else {}), **os.environ}
        return subprocess.Popen(argv, pass_fds=passed, stdin=subprocess.DEVNULL, env=environment, process_group=0)


class Child:
    """One process after the other in one slot: it is started again whenever it ends. `now` in monotonic seconds."""

    def __init__(self, launcher: Launcher, index: int, now: float) -> None:
        self.index, self._launcher = index, launcher
        self.slot = launcher.slots[index]
        self.channel: Channel | None = None
        self.process: subprocess.Popen[bytes] | None = None
        # When to start it again, while it does not run
        self.due = now
        self.retired = False
        self._failures = 0
        self._started = now
        self._killed = 0.0

    @property
    def name(self) -> str:
        return "controller" if self.index == CONTROLLER else f"worker {self.index}"

    def start(self, now: float) -> Channel:
        """Returns the channel to it."""
        self.channel, theirs = pair()
        with theirs:
            self.process = self._launcher.start(self.index, theirs)
        self.slot.begin(self.process.pid, now)
        self._started, self._killed = now, 0.0
        return self.channel

    def ended(self, now: float) -> str | None:
        """How it ended, None while it runs. It is due again: at once if it had come to serve, unless it often does."""
        if self.process is None or self.process.poll() is None:
            return None
        status, self.process = self.process.returncode, None
        served = self.slot.phase is Phase.SERVING
        self._failures = 0 if served and now - self._started > _WELL else self._failures + 1
        self.due = now + _pause(self._failures, served)
        self.slot.phase = Phase.UNUSED if self.retired else Phase.STARTING
        return f"was killed by signal {-status}" if status < 0 else f"exited with {status}"

    def look(self, now: float) -> str:
        """End it if its loop has stopped. Returns what to log."""
        hopeless = HOPELESS if self.slot.phase is Phase.SERVING else BEGINNING
        if self.process is None or self.slot.age(now) < hopeless:
            return ""
        if not self._killed:
            self._killed = now
            # Its fault handler writes where it hangs
            self.process.send_signal(signal.SIGABRT)
            return f"{self.name}: its loop has not run for {self.slot.age(now):.0f} s; it is ended and started again"
        if now - self._killed > _LAST_WORDS:
            self.process.kill()
        return ""

    def break_off(self) -> None:
        """What it was told is lost: another one begins anew."""
        if self.process is not None:
            self.process.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def retire(self) -> None:
        """It is not started again."""
        self.retired = True


def _pause(failures: int, served: bool) -> float:
    if served:
        return _PAUSE if failures > _FREE else 0.0
    return min(_FIRST_PAUSE * 2.0 ** (failures - 1), _LONGEST_PAUSE)


def running(children: Sequence[Child]) -> list[Child]:
    """Those that can be spoken to."""
    return [child for child in children if child.process is not None and child.channel is not None]

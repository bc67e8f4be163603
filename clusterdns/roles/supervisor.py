"""The first process: it binds sockets, starts the others, starts them again, and passes signals on.

It is synchronous and dull, and reads neither a Corefile nor an object, so that nothing can happen to it. What must
outlive the others is here: sockets with what has arrived on them, counts, the configuration that is served.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.roles.children import Child, Launcher, running
from clusterdns.roles.control import Abort, Commit, Drain, Message, Prepared, Proposal, Refused, Reload, Stop
from clusterdns.roles.drain import GRACE
from clusterdns.roles.drain import Drain as Draining
from clusterdns.roles.generation import Generation
from clusterdns.roles.limits import decide
from clusterdns.roles.process import raise_descriptor_limit
from clusterdns.roles.slots import CONTROLLER, HOPELESS, MAX_WORKERS, Slots
from clusterdns.settings import Settings

# Seconds between two looks at heartbeats
_TICK = 0.25
# Seconds that all processes have to prepare a reload: more than `startup_timeout` of any sense
_PREPARE = 60.0
# Seconds that the others have to finish what is in hand; a little more than they take themselves
_GRACE = GRACE + 2.0


class Supervisor:
    """`run` until the end; returns the exit status."""

    def __init__(self, settings: Settings, write: Callable[[str], None]) -> None:
        self._settings, self._write = settings, write
        self._slots = Slots.create()
        self._feed = _feed_socket()
        self._launcher = Launcher(self._slots, self._feed, msgspec.json.encode(settings).decode())
        self._selector = selectors.DefaultSelector()
        self._controller = Child(self._launcher, CONTROLLER, time.monotonic())
        self._workers: list[Child] = []
        self._current: Generation | None = None
        self._next: Generation | None = None
        # Who has not prepared the next generation yet, and until when they may
        self._unprepared: set[Child] = set()
        self._deadline = 0.0
        self._numbers = self._signals = 0
        # A reload that was asked for while there was nobody to do it
        self._wanted = False
        self._draining: Draining | None = None
        self._stopping = 0.0
        self._status: int | None = None
        # Workers that are not wanted any more and have not ended yet
        self._retired: list[Child] = []
        # How many workers the log says there are
        self._told_count = 0
        self._last = time.monotonic()
        # Until when heartbeats say nothing: if this process was held up, so were the others
        self._lenient = 0.0

    def run(self) -> int:
        raise_descriptor_limit()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            # Noted through the descriptor alone
            signal.signal(number, lambda *_: None)
        self._selector.register(ours, selectors.EVENT_READ, None)
        try:
            while self._status is None:
                for key, _ in self._selector.select(_TICK):
                    if key.data is None:
                        for caught in ours.recv(256):
                            self._signalled(caught)
                    else:
                        self._heard(key.data)
                self._look(time.monotonic())
        finally:
            for child in (*self._children, *self._retired):
                child.kill()
        return self._status

    @property
    def _children(self) -> list[Child]:
        return [self._controller, *self._workers]

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGHUP, signal.SIGUSR1):
            self._wanted = True
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._signals += 1
            if self._current is None:
                self._status = 0
            elif self._draining is None:
                lameduck = self._current.proposal.lameduck
                self._draining = Draining(time.monotonic(), lameduck, self._queries())
                self._tell(self._controller, Drain())
            elif self._signals > 1 and not self._stopping:
                self._stop()

    def _heard(self, child: Child) -> None:
        """A message of a child, or its end, which `_look` sees to."""
        while child.channel is not None:
            try:
                received = child.channel.receive()
            except BlockingIOError:
                return
            except (ClusterDNSError, msgspec.MsgspecError) as error:
                self._write(f"[ERROR] {child.name}: {error}; it is started again")
                child.break_off()
                return
            if received is None:
                self._hang_up(child)
                return
            self._take(child, *received)

    def _hang_up(self, child: Child) -> None:
        if child.channel is not None:
            self._selector.unregister(child.channel.sock)
            child.channel.sock.close()
            child.channel = None

    def _take(self, child: Child, message: Message, descriptors: list[int]) -> None:
        if isinstance(message, Proposal) and not descriptors:
            self._write(f"[ERROR] {child.name}: a configuration did not come through; raise the limit of open files")
            child.break_off()
        elif isinstance(message, Proposal):
            self._proposed(message, descriptors[0])
        elif isinstance(message, Refused):
            print(message.text, file=sys.stderr, flush=True)
            self._status = 1
        elif isinstance(message, Prepared) and self._next and message.generation == self._next.number:
            if message.trouble:
                self._abort(f"{child.name}: {message.trouble}")
            else:
                self._unprepared.discard(child)
                self._commit_if_prepared()

    def _proposed(self, proposal: Proposal, record: int) -> None:
        if self._next is not None:
            # The controller was replaced in the middle of a reload
            self._abort("another one began")
        self._numbers += 1
        try:
            generation = Generation(self._numbers, record, proposal, self._current)
        except (ClusterDNSError, OSError) as error:
            if self._current is None:
                print(f"clusterdns: {error}", file=sys.stderr, flush=True)
                self._status = 1
            self._tell(self._controller, Abort(self._numbers, str(error)))
            return
        if self._current is None:
            self._current = generation
            self._set_up(self._controller)
            self._resize()
        else:
            self._prepare(generation)

    def _prepare(self, generation: Generation) -> None:
        self._next, self._deadline = generation, time.monotonic() + _PREPARE
        self._unprepared = set(running(self._children))
        message, descriptors = generation.setup(False)
        for child in self._unprepared:
            self._tell(child, message, descriptors)

    def _commit_if_prepared(self) -> None:
        if self._next is None or self._unprepared or self._current is None:
            return
        old, self._current, self._next = self._current, self._next, None
        for child in running(self._children):
            self._tell(child, Commit(self._current.number))
        old.close(self._current)
        self._resize()

    def _abort(self, reason: str) -> None:
        if self._next is not None:
            for child in running(self._children):
                self._tell(child, Abort(self._next.number, reason))
            self._next.close(self._current)
            self._next = None

    def _resize(self) -> None:
        """As many workers as the configuration asks for."""
        if self._current is None:
            return
        count, reason = decide(self._settings.workers, self._current.proposal.workers)
        if reason and count != self._told_count and not self._settings.quiet:
            self._told_count = count
            self._write(f"[INFO] {count} worker{'s' if count > 1 else ''}: {reason}")
        for child in self._workers[count:]:
            self._tell(child, Stop())
            child.retire()
        self._retired += self._workers[count:]
        self._workers = self._workers[:count]
        now = time.monotonic()
        # A slot belongs to its process until that has ended
        taken = {child.index for child in (*self._workers, *self._retired)}
        free = (index for index in range(1, MAX_WORKERS + 1) if index not in taken)
        while len(self._workers) < count and (index := next(free, 0)):
            self._workers.append(Child(self._launcher, index, now))

    def _look(self, now: float) -> None:
        """Everything that is due."""
        self._look_at_children(now)
        if self._next is not None and now > self._deadline:
            self._abort(f"not every process was prepared after {_PREPARE:g} s")
        idle = self._current is not None and self._next is None
        if self._wanted and idle and all(child.channel for child in self._children):
            self._wanted = not self._tell(self._controller, Reload())
        if self._draining is not None:
            self._look_at_the_end(now, self._draining)

    def _look_at_children(self, now: float) -> None:
        if now - self._last > 1.0:
            self._lenient = now + HOPELESS
        self._last = now
        for child in self._retired:
            child.look(now)
        there = [child for child in self._retired if self._ended(child, now) is None]
        if len(there) < len(self._retired):
            self._retired = there
            self._resize()
        for child in self._children:
            if (how := self._ended(child, now)) is not None and not self._stopping:
                self._write(f"[ERROR] {child.name} {how}; it is started again")
                if self._next is not None:
                    # What is started again has prepared nothing: all of them begin once more
                    self._abort(f"{child.name} {how}")
                    self._wanted = True
            if now > self._lenient and (text := child.look(now)):
                self._write(f"[ERROR] {text}")
            if child.process is None and now >= child.due and not self._stopping:
                self._start(child, now)

    def _ended(self, child: Child, now: float) -> str | None:
        """How it ended, None while it runs. Its last words are heard."""
        how = child.ended(now)
        if how is not None:
            self._heard(child)
            self._hang_up(child)
        return how

    def _start(self, child: Child, now: float) -> None:
        try:
            channel = child.start(now)
        except OSError as error:
            child.due = now + 1.0
            self._write(f"[ERROR] {child.name} cannot be started: {error}; it is tried again")
            return
        self._selector.register(channel.sock, selectors.EVENT_READ, child)
        if self._current is None:
            self._tell(child, Reload())
        else:
            self._set_up(child)

    def _set_up(self, child: Child) -> None:
        if self._current is not None:
            if self._draining is not None and child is self._controller:
                # First: it must not say for a moment that it is ready
                self._tell(child, Drain())
            self._tell(child, *self._current.setup(True))
        if self._next is not None:
            self._unprepared.add(child)
            self._tell(child, *self._next.setup(False))

    def _tell(self, child: Child, message: Message, descriptors: list[int] | tuple[int, ...] = ()) -> bool:
        if child.channel is None:
            return False
        if sent := child.channel.send(message, descriptors):
            return sent
        # It has not read for long, or has closed its end
        child.break_off()
        return False

    def _queries(self) -> int:
        return sum(slot.total() for slot in self._slots.used().values())

    def _look_at_the_end(self, now: float, draining: Draining) -> None:
        """Workers first, so that the controller still watches while they answer."""
        if not self._stopping:
            if draining.over(now, self._queries()):
                self._stop()
        elif not any(child.process for child in self._workers):
            self._tell(self._controller, Stop())
            if self._controller.process is None:
                self._status = 0
        if self._stopping and now > self._stopping + _GRACE:
            self._status = 0

    def _stop(self) -> None:
        self._stopping = time.monotonic()
        for child in self._workers:
            self._tell(child, Stop())


def _feed_socket() -> socket.socket:
    """In the abstract name space: it needs no place to write to. Who connects is checked by user."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("")
    sock.listen(128)
    os.set_inheritable(sock.fileno(), True)
    return sock

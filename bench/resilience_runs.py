"""What is done to a server while clients ask it: its processes are killed, its Corefile changes, it is told to end."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.api import SERVICES_PATH
from bench.asked import COUNTED
from bench.clients import Report, paced, retrying
from bench.cluster import ENDPOINTS, cluster_ip, domain, headless, place, service
from bench.errors import BenchError
from bench.live import ApiServer, Live
from bench.packets import Query
from bench.processes import with_role
from bench.question import Asker, has, in_a_row
from bench.retrying import TIMEOUT

# Seconds between two questions of whoever waits for a change
_INTERVAL = 0.005
# Right replies in a row, until a change counts as taken by every worker
_ROW = 20
# Seconds that an end may take longer than lameduck
_END = 5.0
_FORWARDED = (Query(f"{COUNTED}.host.example.com."),)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much: Services, queries a second over UDP and of each other kind, kills, reloads, and of the end: seconds
    of lameduck and that clients go on asking."""

    services: int
    rate: int
    other_rate: int
    kills: int
    reloads: int
    lameduck: int
    front: float


FULL = Plan(services=1000, rate=2000, other_rate=200, kills=20, reloads=100, lameduck=30, front=10.0)
SMOKE = Plan(services=48, rate=500, other_rate=200, kills=1, reloads=2, lameduck=1, front=0.2)


@dataclass(slots=True)
class Stage:
    """A server under load. `blows`: when something was done to it (monotonic ns); `notes`: what else was seen."""

    server: Live
    api: ApiServer
    plan: Plan
    workers: int
    blows: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def kill_workers(self) -> None:
        """One after the other, each when the last one is replaced, and whoever lost a query has asked again: a client
        that meets two kills in one query is another story."""
        for turn in range(self.plan.kills):
            if turn:
                time.sleep(TIMEOUT["udp"] + random.uniform(0.1, 0.3))
            workers = with_role(self.pid, "worker")
            self._kill(workers[turn % len(workers)])
            self.await_workers()

    def kill_controllers(self) -> None:
        """Each when a change that came after the last kill was answered."""
        slowest = 0.0
        for turn in range(1, self.plan.kills + 1):
            self.server.until(lambda: with_role(self.pid, "controller"), "a controller")
            self._kill(with_role(self.pid, "controller")[0])
            index = self.plan.services + turn
            manifest = service(place(index), index, cluster_ip(index))
            self.api.order(put=manifest, path=SERVICES_PATH, told=True)
            slowest = max(slowest, self._answered(index) - self.blows[-1] / 1e9)
        self.notes.append(f"a change after a kill was answered within {slowest:.2f} s")

    def reload(self) -> None:
        """Other TTLs, one after the other, each when the last one is answered."""
        for turn in range(self.plan.reloads):
            # Never the one before, nor the one at the start
            ttl = 60 + turn % 60
            self.server.configure(ttl=ttl)
            self._blow(self.pid, signal.SIGHUP)
            expected = in_a_row(lambda reply, ttl=ttl: ttl.to_bytes(4) + b"\0\4" in reply, _ROW)
            with Asker(self.server.port, _INTERVAL) as asker:
                asker.ask(domain(*place(0)), expected)

    def terminate(self) -> None:
        """Clients go on asking for a while: they have not heard yet."""
        self._blow(self.pid, signal.SIGTERM)
        time.sleep(self.plan.front)

    def await_end(self) -> None:
        """Nobody asks any more. Raises BenchError when it does not end by itself, with status 0."""
        begun = time.monotonic()
        try:
            status = self.server.process.wait(self.plan.lameduck + _END)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"still there {self.plan.lameduck + _END:.0f} s after the last query") from error
        if status:
            raise BenchError("ended by itself, but not well")
        self.notes.append(f"ended {time.monotonic() - begun:.1f} s after the last query")

    def await_workers(self) -> None:
        self.server.until(lambda: len(self.server.serving()) == max(self.workers, 1), "every worker answers")

    def await_answers(self) -> None:
        """Until all is served that there is."""
        self.await_workers()
        self._answered(0)

    def _answered(self, index: int) -> float:
        """When a Service was answered, by all: in seconds of the monotonic clock."""
        with Asker(self.server.port, _INTERVAL) as asker:
            return asker.ask(domain(*place(index)), in_a_row(has([cluster_ip(index)]), _ROW)) / 1e9

    def _kill(self, pid: int) -> None:
        self._blow(pid, signal.SIGKILL)
        self.server.until(lambda: pid not in self._children(), "the killed process is gone")

    def _blow(self, pid: int, number: signal.Signals) -> None:
        self.blows.append(time.monotonic_ns())
        os.kill(pid, number)

    def _children(self) -> list[int]:
        return with_role(self.pid, "worker") + with_role(self.pid, "controller")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done under load, and what is awaited when the clients have stopped. `lost`: queries over UDP that may
    be lost, of all that is done. `roles`: it is about processes that `--workers 0` does not have."""

    name: Callable[[Plan], str]
    act: Callable[[Stage], None]
    after: Callable[[Stage], None] = lambda _: None
    lost: Callable[[Plan], int] = lambda _: 0
    roles: bool = True


SCENARIOS = {
    "workers": Scenario(lambda plan: f"{plan.kills} worker kills", Stage.kill_workers, lost=lambda plan: plan.kills),
    "controllers": Scenario(lambda plan: f"{plan.kills} controller kills", Stage.kill_controllers),
    "reloads": Scenario(lambda plan: f"{plan.reloads} reloads", Stage.reload, roles=False),
    "end": Scenario(lambda plan: "SIGTERM", Stage.terminate, Stage.await_end, roles=False),
}


@contextmanager
def clients(port: int, plan: Plan) -> Iterator[dict[str, Report]]:
    """All kinds of them, by their names in the table."""
    local = [
        Query(domain(*place(index)), answers=ENDPOINTS if headless(index) else 1) for index in range(plan.services)
    ]
    with ExitStack() as stack:
        yield {
            "UDP": stack.enter_context(paced(port, plan.rate, local)),
            "TCP": stack.enter_context(retrying(port, "tcp", plan.other_rate, local)),
            "forwarded, UDP": stack.enter_context(retrying(port, "udp", plan.other_rate, _FORWARDED)),
            "forwarded, TCP": stack.enter_context(retrying(port, "tcp", plan.other_rate, _FORWARDED)),
        }

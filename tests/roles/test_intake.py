"""Stores that are filled by the feed answer as stores do that were filled directly, whatever happened on the way:
lost connections, restarted controllers, reloads that bring sources and selectors, and reloads that are given up."""

import asyncio
from collections import deque
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.corefile.parser import parse_text
from clusterdns.kube.objects import Synced
from clusterdns.kube.packed import SYNCED, Packed, pack, unpack
from clusterdns.net.machine import Machine
from clusterdns.plugins.build import Config, build
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.intake import Intake, patience, source_id, sources
from clusterdns.roles.serving import Serving, Sockets
from clusterdns.roles.subscriber import Subscriber
from clusterdns.sources.feed import LENGTH, Message, frame, message, want
from clusterdns.sources.table import State, Table
from clusterdns.stats import Cells
from tests.kube.objects import gone, namespace, service
from tests.kube.questions import questions, without_serial
from tests.kube.served import ZONES, filled
from tests.kube.test_any_history import OBJECTS

QUESTIONS = list(questions().values())
CLIENT = ("127.0.0.1", 40000)
# Source and options of each block there may be, by port
BLOCKS = {1: ("one", ""), 2: ("one", "labels app=x"), 3: ("two", "")}
SERVED = st.sets(st.sampled_from(sorted(BLOCKS)), min_size=1).map(sorted)
SOURCES = st.sampled_from(["one", "two"])
EVENTS = st.lists(OBJECTS | OBJECTS | OBJECTS.map(gone), min_size=1, max_size=5)
STEPS = st.lists(
    st.tuples(st.just("change"), SOURCES, EVENTS)
    | st.tuples(st.just("complete"), SOURCES)
    | st.tuples(st.just("flow"), st.integers(0, 6), st.integers(0, 6))
    | st.tuples(st.just("flow"), st.just(50), st.just(50))
    | st.tuples(st.just("ask"))
    | st.tuples(st.just("lose"))
    | st.tuples(st.just("restart"), st.booleans())
    | st.tuples(st.just("prepare"), SERVED)
    | st.tuples(st.just("reload"), SERVED)
    | st.tuples(st.just("commit"))
    | st.tuples(st.just("abort")),
    min_size=8,
    max_size=25,
)


def block(port: int) -> str:
    source, options = BLOCKS[port]
    keys = " ".join(f"{zone}:{port}" for zone in ZONES.split())
    return f"{keys} {{\nbind 10.96.0.53\nkubernetes {ZONES} {{\nmanifests {source}\n{options}\n}}\n}}\n"


def loaded(blocks: list[int], before: Config | None = None) -> Config:
    text = "".join(map(block, blocks))
    kept = before.shared.stores if before else {}
    return build(parse_text(text, "Corefile", Machine()), Machine(), 53, print, kept)


class Controller:
    """Tables as `Hub` keeps them. `real`: the objects that there are, by source and key."""

    def __init__(self) -> None:
        self.tables: dict[SourceSpec, Table] = {}
        self.real: dict[str, dict[bytes, Packed]] = {"one": {}, "two": {}}
        self._remembered: dict[SourceSpec, list[Packed]] = {}
        self.now = 0

    def by_id(self) -> dict[bytes, Table]:
        return {source_id(spec): table for spec, table in self.tables.items()}

    def run(self, specs: set[SourceSpec]) -> None:
        """These, and no others."""
        self.tables = {spec: self.tables.get(spec) or Table() for spec in specs}

    def restart(self, remembering: bool) -> None:
        self._remembered |= {
            spec: list(map(Packed, table.objects, table.objects.values()))
            for spec, table in self.tables.items()
            if table.state is State.SYNCED
        }
        specs, self.tables = set(self.tables), {}
        self.run(specs)
        for spec in specs & self._remembered.keys() if remembering else ():
            self.tables[spec].restore(self._remembered[spec], self.now)

    def change(self, source: str, packed: list[Packed]) -> None:
        self.now += 10
        for each in packed:
            if each.payload:
                self.real[source][each.key] = each
            else:
                self.real[source].pop(each.key, None)
        for spec, table in self.tables.items():
            if spec.manifests == (source,):
                table.apply(packed, self.now)

    def complete(self, source: str) -> None:
        self.now += 10
        for spec, table in self.tables.items():
            if spec.manifests == (source,):
                table.apply([*self.real[source].values(), SYNCED], self.now)


class Worker:
    """`Serving` without sockets, and a connection that is lost with all that is under way."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.serving = Serving(Cells())
        self.intake = Intake(self.serving, hold=False)
        self._subscriber: Subscriber | None = None
        self._under_way: deque[Message] = deque()
        self.next: Config | None = None

    async def begin(self, config: Config) -> None:
        self.serving.prepare(config)
        await self._adopt(config)
        self.intake.hold = True

    def prepare(self, blocks: list[int]) -> None:
        self.next = loaded(blocks, self.serving.config)
        self.serving.prepare(self.next)
        self._follow()

    async def commit(self) -> None:
        if self.next is not None:
            config, self.next = self.next, None
            await self._adopt(config)

    def abort(self) -> None:
        self.next = None
        self.serving.prepare(None)
        self._follow()

    def lose(self) -> None:
        if self._subscriber is not None:
            self._subscriber.close()
            self._subscriber = None
        self._under_way.clear()

    def flow(self, sent: int, received: int) -> None:
        if self._subscriber is None:
            self._subscriber = Subscriber(self._controller.by_id, lambda: None)
            self._want()
        if sent:
            self._under_way += islice(self._subscriber.messages(), sent)
        for _ in range(min(received, len(self._under_way))):
            self.intake.take(message(frame(self._under_way.popleft())[LENGTH:]))

    def answers(self) -> dict[int, list[bytes]]:
        """By port."""
        return {
            port: [without_serial(opened.datagrams.answer(packet, CLIENT, print) or b"") for packet in QUESTIONS]
            for (_, port), opened in self.serving._open.items()
        }

    async def _adopt(self, config: Config) -> None:
        fresh = {(listener.address, listener.port) for listener in config.listeners} - self.serving.listening
        await self.serving.adopt(config, {where: Sockets([], []) for where in fresh})
        self._follow()

    def _follow(self) -> None:
        assert self.serving.config is not None
        configs = [self.serving.config, *([self.next] if self.next else [])]
        self._controller.run({spec for config in configs for spec in sources(config)})
        self.intake.follow(*configs)
        if self._subscriber is not None:
            self._want()

    def _want(self) -> None:
        assert self._subscriber is not None
        self._subscriber.want(want(frame(self.intake.want(1))[LENGTH:]))


async def follow(blocks: list[int], steps: list[tuple]) -> None:
    controller = Controller()
    worker = Worker(controller)
    await worker.begin(loaded(blocks))
    for what, *how in steps:
        match what, how:
            case "change", (source, events):
                controller.change(source, [pack(event) for event in events])
            case "complete", (source,):
                controller.complete(source)
            case "restart", (remembering,):
                controller.restart(remembering)
                worker.lose()
            case "flow", (sent, received):
                worker.flow(sent, received)
            case "prepare", (wanted,):
                worker.prepare(wanted)
            case "reload", (wanted,):
                worker.prepare(wanted)
                worker.flow(50, 50)
                await worker.commit()
            case "commit", ():
                await worker.commit()
            case "ask", ():
                worker.answers()
            case "abort", ():
                worker.abort()
            case "lose", ():
                worker.lose()
    await worker.commit()
    for source in controller.real:
        controller.complete(source)
    worker.flow(1000, 1000)
    assert worker.intake.settled
    assert worker.intake.filled
    check(controller, worker)
    worker.serving.close()


def check(controller: Controller, worker: Worker) -> None:
    config = worker.serving.config
    assert config is not None
    for port, answers in worker.answers().items():
        source, options = BLOCKS[port]
        expected = filled([*map(unpack, controller.real[source].values()), Synced()], options)
        assert answers == [without_serial(expected.ask(packet)) for packet in QUESTIONS], port
    for store in config.shared.stores.values():
        assert store.synced
        assert store.serial <= controller.now


@settings(max_examples=150, deadline=None)
@given(SERVED, STEPS)
def test_stores_that_are_fed_answer_as_stores_that_were_filled(blocks, steps):
    asyncio.run(follow(blocks, steps))


def spec_of(config: Config, source: str) -> SourceSpec:
    return next(spec for spec in sources(config) if spec.manifests == (source,))


def test_each_source_is_wanted_once():
    async def main() -> None:
        intake, config = Intake(Serving(Cells()), hold=False), loaded([1, 2, 3])
        intake.follow(config)
        one, two = (source_id(spec_of(config, source)) for source in ("one", "two"))
        asked = intake.want(4)
        assert (asked.worker, asked.sources, set(asked.again)) == (4, (one, two), {one, two})
        # Said once: a new connection begins with a listing anyway
        assert intake.want(4).again == ()

    asyncio.run(main())


def test_what_is_told_again_is_told_for_a_store_that_is_new():
    """Not at a commit, not when a reload is given up, and not of sources whose stores stay."""

    async def main() -> None:
        intake = Intake(Serving(Cells()), hold=False)
        served = loaded([1, 3])
        one = source_id(spec_of(served, "one"))
        intake.follow(served)
        intake.want(1)
        # The second selector comes, the source `two` goes
        wanted = loaded([1, 2], served)
        for configs, again in (
            ((served,), ()),
            ((served, wanted), (one,)),
            ((served,), ()),
            ((served, loaded([1, 2], served)), (one,)),
            ((served, wanted), (one,)),
            ((wanted,), ()),
            ((wanted, loaded([1], wanted)), ()),
        ):
            intake.follow(*configs)
            assert intake.want(1).again == again

    asyncio.run(main())


def test_a_source_that_comes_back_is_unknown():
    async def main() -> None:
        controller = Controller()
        worker = Worker(controller)
        await worker.begin(loaded([1, 3]))
        for source in ("one", "two"):
            controller.complete(source)
        worker.flow(50, 50)
        assert worker.intake.filled
        for blocks, filled_before in (([1], True), ([1, 3], False)):
            worker.prepare(blocks)
            assert worker.intake.filled is filled_before
            await worker.commit()
        controller.complete("two")
        worker.flow(50, 50)
        assert worker.intake.filled
        worker.serving.close()

    asyncio.run(main())


def test_a_selector_that_joins_has_all_objects():
    async def main() -> None:
        controller = Controller()
        worker = Worker(controller)
        await worker.begin(loaded([1]))
        controller.change("one", [pack(service("a", name, "None", app=name)) for name in ("x", "y")])
        controller.complete("one")
        worker.flow(50, 50)
        worker.prepare([1, 2])
        assert not worker.intake.filled
        worker.flow(50, 50)
        assert worker.intake.filled
        await worker.commit()
        assert worker.intake.filled
        assert worker.serving.config is not None
        stores = worker.serving.config.shared.stores
        assert [sorted(store.services) for store in stores.values()] == [
            [b"\x01x\x01a", b"\x01y\x01a"],
            [b"\x01x\x01a"],
        ]
        worker.serving.close()

    asyncio.run(main())


def test_nothing_is_taken_of_a_source_that_is_not_followed():
    async def main() -> None:
        serving = Serving(Cells())
        intake, config = Intake(serving, hold=False), loaded([1, 3])
        two = spec_of(config, "two")
        serving.prepare(config)
        intake.follow(loaded([1]))
        table = Table()
        table.apply([pack(service("a", "s", "None")), SYNCED], 1)
        subscriber = Subscriber(lambda: {source_id(two): table}, lambda: None)
        subscriber.want(want(frame(Intake.want(intake, 1))[LENGTH:]))
        assert list(subscriber.messages()) == []
        subscriber._wanted = (source_id(two),)
        subscriber.refresh()
        for found in subscriber.messages():
            intake.take(found)
        (store,) = config.shared.stores_of(two)
        assert (store.synced, store.services) == (False, {})

    asyncio.run(main())


def test_a_source_is_settled_with_a_snapshot_or_with_what_there_is():
    """Settled: there is something to answer from; filled: it is everything, be it remembered."""

    async def main() -> None:
        for steps, expected in (
            ([], (False, False)),
            (["settle"], (True, False)),
            (["restore"], (True, True)),
            (["complete"], (True, True)),
        ):
            controller = Controller()
            worker = Worker(controller)
            await worker.begin(loaded([1]))
            (table,) = controller.tables.values()
            for step in steps:
                if step == "settle":
                    table.settle()
                elif step == "restore":
                    table.restore([pack(namespace("a"))], 5)
                else:
                    controller.complete("one")
            worker.flow(50, 50)
            assert (worker.intake.settled, worker.intake.filled) == expected
            worker.serving.close()

    asyncio.run(main())


def test_a_first_listing_is_held_while_queries_are_answered():
    async def main() -> None:
        controller = Controller()
        worker = Worker(controller)
        await worker.begin(loaded([1]))
        controller.change("one", [pack(service("a", f"s{number}", "None")) for number in range(200)])
        controller.complete("one")
        assert worker.serving.config is not None
        (store,) = worker.serving.config.shared.stores.values()
        sizes = []
        for _ in range(6):
            worker.flow(1, 1)
            sizes.append((len(store.services), store.synced))
        assert sizes == [(0, False)] * 5 + [(200, True)]
        assert store.serial == controller.now - 10
        worker.serving.close()

    asyncio.run(main())


def test_patience_is_that_of_the_most_patient_source():
    def config(*seconds: int) -> Config:
        blocks = (
            f"z{at} {{\nkubernetes z{at} {{\nendpoint http://127.0.0.{1 + at}\nstartup_timeout {each}s\n}}\n}}\n"
            for at, each in enumerate(seconds)
        )
        return build(parse_text("".join(blocks), "Corefile", Machine()), Machine(), 53, print)

    assert [patience(config(*each)) for each in ((), (3,), (3, 9, 1))] == [0.0, 3.0, 9.0]

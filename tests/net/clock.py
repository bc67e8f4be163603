"""A loop whose clock a test can put forward."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """`ahead`: seconds that its clock is ahead of the machine's."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


async def forward(seconds: float) -> None:
    """Put the clock forward, and let run what is due then."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.ahead += seconds
    # What is due runs in the next round; what that starts, in the one after
    for _ in range(3):
        await asyncio.sleep(0)

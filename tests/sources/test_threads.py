"""A call in a thread: what it returns or raises comes back, and nobody has to wait for it."""

import asyncio
import threading

import pytest

from clusterdns.sources.threads import in_thread


def test_what_it_returns_and_raises():
    async def main() -> None:
        name = await in_thread(lambda: threading.current_thread().name, "reader")
        assert (name, await in_thread(lambda: None, "reader")) == ("reader", None)
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0, "reader")

    asyncio.run(main())


def test_the_loop_goes_on_meanwhile():
    async def main() -> None:
        go = threading.Event()
        call = asyncio.ensure_future(in_thread(lambda: go.wait(30), "waits"))
        await asyncio.sleep(0)
        assert not call.done()
        go.set()
        assert await call

    asyncio.run(main())


def test_who_does_not_wait_any_more_is_not_told():
    """Nor a loop that is closed: the thread ends in peace."""
    began, go = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def wait() -> None:
        threads.append(threading.current_thread())
        began.set()
        go.wait(30)

    async def main(cancelled: bool) -> None:
        call = asyncio.ensure_future(in_thread(wait, "waits"))
        await in_thread(began.wait, "waits")
        call.cancel()
        if cancelled:
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await call
            await in_thread(threads[0].join, "joins")

    asyncio.run(main(True))
    began.clear()
    go.clear()
    asyncio.run(main(False))
    go.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
        assert thread.daemon

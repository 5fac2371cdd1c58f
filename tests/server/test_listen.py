"""The server in the cell of a notebook, which runs inside an event loop, and how it ends."""

import asyncio
import os
import signal
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from miner.errors import UsageError
from miner.server.listen import link, listen, serve

APP = Starlette(routes=[Route("/", lambda request: PlainTextResponse("page"))])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_inside_an_event_loop_until_a_signal(number: int) -> None:
    answers = []
    before = signal.getsignal(number)

    def reader(address: str) -> None:
        answers.append(httpx.get(address, timeout=20, trust_env=False).text)
        os.kill(os.getpid(), number)

    async def cell() -> None:
        with listen("127.0.0.1", 0) as listener:
            address = link(listener, "127.0.0.1", None)
            serve(APP, listener, threading.Thread(target=reader, args=(address,), daemon=True).start)
        answers.append("the next line of the cell")

    asyncio.run(cell())
    assert answers == ["page", "the next line of the cell"]
    assert signal.getsignal(number) == before


def test_a_thread_that_signals_do_not_reach_is_refused() -> None:
    refused = []

    def work() -> None:
        with listen("127.0.0.1", 0) as listener, pytest.raises(UsageError, match="main thread alone") as caught:
            serve(APP, listener, lambda: None)
        refused.append(caught)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert refused

"""The event loop of a fetch, to which obstore hands answers over from threads of its own."""

import asyncio
from typing import Any

# uvloop takes an answer over in half the time: a fifth more objects a second. It is not made for Windows.
try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop that takes no notice of answers that come once it is closed.

    obstore answers from threads of its own. One that is about to while the fetch is given up meets a closed loop and
    writes a traceback to stderr (https://github.com/PyO3/pyo3-async-runtimes/issues/90).
    """
    loop = new_event_loop()
    hand_over = loop.call_soon_threadsafe

    def hand_over_while_open(*args: Any, **options: Any) -> asyncio.Handle | None:
        try:
            return hand_over(*args, **options)
        except RuntimeError:
            if not loop.is_closed():
                raise
            return None

    loop.call_soon_threadsafe = hand_over_while_open  # type: ignore[method-assign, assignment]
    return loop

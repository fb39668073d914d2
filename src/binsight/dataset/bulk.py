"""Making objects by the million."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collected() -> Iterator[None]:
    """Python looks for no reference cycles meanwhile, nor where it did not before.

    It looks whenever so many objects have been made, each time at more of all that there are: over a million rows that
    takes longer than making them. For functions whose objects form no cycles; those that are let go are freed as ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

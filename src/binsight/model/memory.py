"""How the process takes memory from the system while it trains on a CPU."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Have freed memory kept for the next batch, where the C library is glibc; elsewhere do nothing.

    By default glibc gives each large tensor back to the system and asks for it anew in the next batch, page by
    page: a seventh to a fifth of a small network's training time. https://man7.org/linux/man-pages/man3/mallopt.3.html
    It takes a few batches to settle: a tensor is laid further up while small live blocks lie in the holes below.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)

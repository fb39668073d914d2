"""What is made of the figures of the peers."""

from bench.peers import OURS, Measured, summary


def test_ours_must_be_ahead_of_the_best_peer_and_no_later_than_any() -> None:
    def runs(per_second: float, p99_ms: float) -> list[Measured]:
        return [Measured(per_second=per_second, p99_ms=p99_ms, num_failed=0)]

    peers = {"a": runs(50, 40), "b": runs(30, 20)}
    assert summary({OURS: runs(60, 20), **peers}, 1.0) | {"servers": 0} == {"servers": 0, "ratio": 1.2, "met": True}
    assert not summary({OURS: runs(60, 21), **peers}, 1.0)["met"]
    assert not summary({OURS: runs(60, 20), **peers}, 2.0)["met"]

"""Turns: one process at a time, dead ones lose theirs, and no clock is compared."""

from tests.ledger_support import Opener

from binsight.storage.ledger import Marks, Turns


def test_a_turn_is_one_holders_until_it_is_given_back(ledger_url: str, opened: Opener) -> None:
    turns = Turns(opened(ledger_url))
    assert turns.take("retrain", "one", place="here").holder == "one"
    seen = turns.take("retrain", "two", place="there")
    assert (seen.holder, seen.place) == ("one", "here")
    turns.give_back("retrain", "two")  # not his
    assert turns.take("retrain", "two", place="there").holder == "one"
    turns.give_back("retrain", "one")
    assert turns.take("retrain", "two", place="there").holder == "two"


def test_its_holder_takes_it_again_as_after_a_kill(ledger_url: str, opened: Opener) -> None:
    turns = Turns(opened(ledger_url))
    turns.take("retrain", "one", place="here")
    assert turns.take("retrain", "one", place="here again").place == "here again"


def test_only_a_turn_that_did_not_beat_meanwhile_is_taken_from_its_holder(ledger_url: str, opened: Opener) -> None:
    turns = Turns(opened(ledger_url))
    turns.take("retrain", "one", place="here")
    seen = turns.take("retrain", "two", place="there")
    assert turns.beat("retrain", "one")
    assert turns.take("retrain", "two", place="there", dead=seen).holder == "one"
    seen = turns.take("retrain", "two", place="there")
    assert turns.take("retrain", "two", place="there", dead=seen).holder == "two"
    assert not turns.beat("retrain", "one")
    assert turns.beat("retrain", "two")


def test_of_two_who_take_a_dead_ones_turn_one_gets_it(ledger_url: str, opened: Opener) -> None:
    one, other = Turns(opened(ledger_url)), Turns(opened(ledger_url))
    one.take("retrain", "dead", place="nowhere")
    seen = one.take("retrain", "first", place="a")
    taken = {one.take("retrain", "first", place="a", dead=seen).holder}
    taken.add(other.take("retrain", "second", place="b", dead=seen).holder)
    assert taken == {"first"}


def test_turns_of_other_names_are_others(ledger_url: str, opened: Opener) -> None:
    turns = Turns(opened(ledger_url))
    assert turns.take("retrain", "one", place="").holder == "one"
    assert turns.take("tidy", "two", place="").holder == "two"


def test_a_mark_is_the_one_that_was_set_last(ledger_url: str, opened: Opener) -> None:
    marks = Marks(opened(ledger_url))
    assert marks.get("date") is None
    marks.set("date", "2026-01-01T00:00:00.000000+00:00")
    marks.set("date", "2026-02-01T00:00:00.000000+00:00")
    assert marks.get("date") == "2026-02-01T00:00:00.000000+00:00"

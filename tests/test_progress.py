import pytest

from vgglib.progress import Event, State


def test_what_earlier_calls_did_counts_in_no_rate(clock):
    state = State({"A": 1.0, "B": 1.0}, started=clock[0])
    state.take(Event("A", "training", share=0.9))
    assert state.remaining_seconds() is None
    clock[0] += 60
    state.take(Event("A", "training", share=0.95))
    # 0.05 of two in a minute, and 1.05 left.
    assert state.remaining_seconds() == pytest.approx(60 * 1.05 / 0.05)
    state.take(Event("A", "done"))
    state.take(Event("B", "failed"))
    assert state.done == 1 and state.remaining_seconds() == 0


def test_an_empty_plan_is_done():
    assert State().done == 1 and State().remaining_seconds() is None

import sys

import pytest

from vgglib.running.progress import Event, Log, Progress, State, Terminal, minutes


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


def test_what_this_call_did_before_the_first_look_counts(clock):
    state = State({"A": 1.0}, started=clock[0])
    state.take(Event("A", "started"))
    clock[0] += 20
    state.take(Event("A", "training", share=0.5, before=0.1))
    # 0.4 in 20 seconds, and 0.5 left.
    assert state.remaining_seconds() == state.seconds_left("A") == pytest.approx(25)


def test_what_is_left_of_one_run_is_told_by_what_it_has_done_here(clock):
    state = State({"A": 1.0}, started=clock[0])
    clock[0] += 500  # until its images were loaded
    state.take(Event("A", "training", share=0.4))
    assert state.seconds_left("A") is None
    clock[0] += 60
    state.take(Event("A", "training", share=0.5))
    assert state.seconds_left("A") == pytest.approx(60 * 0.5 / 0.1)


def test_an_empty_plan_is_done():
    assert State().done == 1 and State().remaining_seconds() is None


def test_time_left_and_the_line_of_a_log(capsys, monkeypatch):
    assert [minutes(59.6), minutes(61), minutes(3661)] == ["1:00", "1:01", "1:01:01"]
    log = Log()
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    log.plan({"A": 1.0, "E": 3.0})
    log.event(Event("A", "started"))
    log.event(Event("A", "done", top1_error_percent=12.34))
    assert log.state.done == 0.25
    log.event(Event("E", "training", Progress(50, 100, 1, 2, 10.0, 2.5, None), share=0.5))
    assert log.state.done == 0.25 + 0.375
    assert "A done, top-1 error 12.3 %" in capsys.readouterr().err
    assert log.state.line().endswith("E epoch 1/2 10 img/s loss 2.50")
    log.event(Event("E", "evaluating", share=1.0, text="dense_Q256"))
    assert log.state.line().startswith("1 of 2 runs, 100 %")  # it is not there until it is written
    assert log.state.line().endswith("E evaluating dense_Q256")
    capsys.readouterr()
    log.event(Event("E", "failed", text="the training loss is nan in epoch 2"))
    assert "E failed: the training loss is nan in epoch 2" in capsys.readouterr().err


def test_the_terminals_bars_take_every_event(capsys):
    with Terminal() as shown:
        shown.plan({"A": 1.0})
        shown.event(Event("A", "started"))
        shown.event(Event("A", "training", Progress(50, 100, 1, 2, 10.0, 2.5, 40.0), share=0.4))
        shown.event(Event("A", "evaluating", share=0.9, text="multi-crop_Q256"))
        shown.event(Event("A", "failed"))
        assert shown.state.done == 1
    assert "failed" in capsys.readouterr().err

import pandas as pd
import pytest
from rows import row

from vgglib.analysis import signals
from vgglib.display import follow_ups


def trained(start, seed, scores, gradient, left=(90.0, 20.0), **changes):
    history = [{"epoch": epoch, "minival_top1_error_percent": error} for epoch, error in enumerate(left, start=1)]
    signal = {"logit_sd": scores, "conv1_1_gradient_norm": gradient}
    usual = {"table": "starts", "net": "E", "n_classes": 10, "start": start, "seed": seed}
    return row(**usual | {"initial_signal": signal, "history": history} | changes)


@pytest.fixture
def rows():
    return pd.DataFrame(
        [
            *(trained("he-fan-out", seed, *both) for seed, both in enumerate([(1.0, 2.0), (4.0, 8.0)])),
            trained("glorot", 0, 0.01, 0.1, left=(90.0, 90.0)),
            trained("glorot", 1, 0.04, 0.2),
            # What is no first stage of its own.
            trained("he-fan-out", 0, 1.0, 2.0, table="3"),
            trained("he-fan-out", 0, 9.0, 9.0, table="3", train_scale="384", test_scales="384"),
            row(net="E", seed=2, status="not run"),
        ]
    )


def test_signals_by_pencil(rows):
    he, glorot = signals.table(signals.of(rows)).to_dict("records")
    assert list(he.values()) == ["E", "he-fan-out", 2, "2 (1 to 4)", "4 (2 to 8)", "2 of 2", "2"]
    assert list(glorot.values()) == ["E", "glorot", 2, "0.02 (0.01 to 0.04)", "0.14 (0.1 to 0.2)", "1 of 2", "2"]


def test_starts_are_compared_seed_by_seed(rows):
    # Scores: 1/100 both times, which has no interval. Gradients: 1/20 and 1/40, whose logarithms differ by ln 2: the
    # mean is 1 / (20 sqrt 2), its interval a factor of exp(12.706 x ln 2 / 2) to both sides.
    said = signals.finding(signals.of(rows))
    assert said == (
        "Net E before the first update, 2 seeds: with glorot the spread of the scores is 0.01 times and the gradient "
        "of conv1_1 is 0.035 times (0.00043 to 2.9) that with he-fan-out."
    )
    assert signals.finding(signals.of(rows[rows["seed"] == 0])) == ""
    assert signals.finding(signals.of(rows[rows["start"] == "glorot"])) == ""


def test_without_a_first_batch_there_is_a_sentence(monkeypatch):
    said = []
    monkeypatch.setattr(follow_ups.show, "sentence", said.append)
    follow_ups.signals_of(pd.DataFrame([row(), row(status="not run")]))
    assert said == ["No record of these nets has measurements of the first batch."]

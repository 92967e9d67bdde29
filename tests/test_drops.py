import pandas as pd
import pytest

from vgglib.analysis import drops


def row(net, seed, first, error, *minival, loss=1.0, **changes):
    """A training of one class out of two whose first rate lasted `first` epochs."""
    history = [
        {"learning_rate": 0.1 if number < first else 0.01, "minival_top1_error_percent": best, "train_loss": loss}
        for number, best in enumerate(minival)
    ]
    usual = {"status": "done", "n_classes": 2, "history": history}
    return {"net": net, "seed": seed, "top1_error_percent": error, **usual, **changes}


@pytest.fixture
def rows():
    return pd.DataFrame(
        [
            row("A", 0, 3, 10.0, 40.0, 20.0, 30.0, 15.0),
            row("A", 1, 3, 14.0, 40.0, 30.0, 30.0, 15.0),
            row("E", 0, 2, 30.0, 50.0, 45.0, 44.0, 40.0, loss=2.0),
            row("E", 1, 3, 16.0, 40.0, 35.0, 30.0, 20.0),
            row("E", 2, 1, 99.0, 50.0, 49.0, status="failed"),
        ]
    )


def test_a_rate_that_dropped_sooner_than_in_the_longest_is_early(rows):
    found = drops.of(rows)
    assert found["first_rate_epochs"].tolist() == [3, 3, 2, 3] and found["early"].tolist() == [
        False,
        False,
        True,
        False,
    ]
    assert found["minival_error"].tolist() == [20.0, 30.0, 45.0, 30.0]
    assert found["from_chance"].tolist() == [30.0, 20.0, 5.0, 20.0]  # guessing one of two errs in half of all cases
    (line,) = drops.shown(found).to_dict("records")
    assert list(line.values()) == ["E", 0, 2, "45.0", "5.0", "2.00", "30.0", "16.0 (1)"]


def test_differences_stand_with_and_without_the_early_ones(rows):
    (line,) = drops.differences(drops.of(rows)).to_dict("records")
    # 30 - 10 and 16 - 14; the first pair has an early one.
    assert line == {"Nets": "E - A", "All seeds": "+11.00 (2)", "Neither dropped early": "+2.00 (1)"}
    alone = drops.differences(drops.of(rows.iloc[[0, 2]]))["Neither dropped early"]
    assert alone.tolist() == ["-"]


def test_the_course_has_the_epochs_around_the_first_drop(rows):
    lines = drops.course(rows).set_index("Net")
    assert lines.loc["A"].tolist() == [2, "1.00", "1.00", "1.00", "30.0", "15.0", "15.0"]
    assert lines.loc["E"].tolist() == [2, "1.50", "1.50", "1.50", "37.5", "32.0", "30.0"]
    assert drops.course(pd.DataFrame([row("A", 0, 9, 1.0, 50.0, 40.0)])).empty  # the rate never dropped


def test_how_long_the_first_rate_lasted_is_said_with_its_rank_correlation(rows):
    assert drops.said(drops.of(rows)) == "The first rate lasted 2 to 3 epochs."
    longer = pd.DataFrame([row("A", seed, seed + 1, 50.0 - seed, *[40.0] * 9) for seed in range(5)])
    # Of the 120 orders of five errors one rises and one falls all the way: p = 2 / 120.
    assert drops.said(drops.of(longer)) == (
        "The first rate lasted 1 to 5 epochs. "
        "Rank correlation of its length with the error: -1.00 for A (5 seeds, p value 0.017). "
        "A value below 0 means that seeds whose first rate lasted longer err less."
    )
    assert drops.said(drops.of(longer.iloc[:4])) == "The first rate lasted 1 to 4 epochs."  # too few for a correlation
    assert drops.said(drops.of(longer.iloc[:1])) == "The first rate lasted 1 epoch."
    assert drops.said(drops.of(rows.iloc[:0])) == ""

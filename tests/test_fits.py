import math

import pandas as pd
import pytest

from vgglib import fits


def row(net, seed, loss, error, **changes):
    history = [{"train_loss": 9.0}, {"train_loss": loss}]
    usual = {"table": "3", "train_scale": "256", "status": "done", "history": history}
    return {"net": net, "seed": seed, "top1_error_percent": error, **usual, **changes}


@pytest.fixture
def rows():
    return pd.DataFrame(
        [
            *(row("A", seed, loss, error) for seed, loss, error in ((0, 1.0, 50.0), (1, 3.0, 60.0))),
            *(row("D", seed, 2.0, 70.0) for seed in (0, 1)),
            row("E", 0, 2.5, 80.0),
            row("B", 0, 1.0, 40.0),
            # What says nothing here.
            row("E", 1, 0.1, 1.0, status="not run"),
            row("E", 0, 0.1, 1.0, table="4"),
            row("E", 0, 0.1, 1.0, train_scale="384"),
        ]
    )


def test_losses_and_errors_are_means_over_the_seeds(rows):
    found = fits.of(rows).set_index("net")
    assert found.index.tolist() == ["A", "B", "D", "E"]
    assert found.loc["A", ["seeds", "loss", "error"]].tolist() == [2, 2.0, 55.0]
    # Two values 10 apart: their standard error is 5, and t of one degree of freedom 12.706.
    assert found.loc["A", "high"] == pytest.approx(55 + 12.706 * 5, abs=0.01)
    assert found.loc["E", ["loss", "error"]].tolist() == [2.5, 80.0] and math.isnan(found.loc["E", "low"])
    assert fits.shown(fits.of(rows))["95 % interval over seeds"].tolist()[1:] == ["-", "70.0 to 70.0", "-"]


def test_scales_are_compared_on_seeds_that_have_them_all():
    def tested(net, seed, table, scales, error):
        return row(net, seed, 1.0, error, table=table, test_scales=scales)

    alone = [
        tested("D", seed, "scales", q, error + seed)
        for seed in (0, 2)
        for q, error in zip(("224", "256", "288"), (10.0, 20.0, 30.0), strict=True)
    ]
    averaged = [tested("D", seed, "4", "224 256 288", 40.0 + seed) for seed in (0, 1, 2)]
    lone = [tested("D", 1, "scales", "224", 99.0), tested("E", 0, "4", "224 256 288", 99.0)]
    (line,) = fits.by_scale(pd.DataFrame([*alone, *averaged, *lone])).to_dict("records")
    assert list(line.values()) == ["D", "256", 2, "11.0", "21.0", "31.0", "41.0"]


def test_what_is_found_tells_fit_from_error(rows):
    assert fits.finding(fits.of(rows)) == (
        "Beside A: E errs more, with a higher training loss; D errs more, with no higher training loss; B errs no more."
    )
    assert fits.finding(fits.of(rows[rows["net"] != "A"])) == "There is no net to compare with A."
    assert fits.of(rows.iloc[:0]).empty

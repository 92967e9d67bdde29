import numpy as np
import pandas as pd
import pytest

from vgglib.analysis import fits


def row(net, seed, loss, error, **changes):
    history = [{"train_loss": 9.0}, {"train_loss": loss}]
    usual = {"table": "3", "train_scale": "256", "status": "done", "history": history, "preset": "demo", "start": "A"}
    usual |= {"test_scales": "256", "method": "dense", "n_images": 100, "n_classes": 10, "top5_error_percent": 1.0}
    return {"net": net, "seed": seed, "top1_error_percent": error, **usual, **changes}


@pytest.fixture
def rows():
    return pd.DataFrame(
        [
            *(row("A", seed, loss, error) for seed, loss, error in ((0, 1.0, 54.0), (1, 3.0, 56.0))),
            *(row("D", seed, 2.04, 70.0) for seed in (0, 1)),
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
    assert set(found.index) == {"A", "B", "D", "E"}
    assert found.loc["A", ["seeds", "loss", "top1"]].tolist() == [2, 2.0, 55.0]
    assert found.loc["E", ["seeds", "loss", "top1"]].tolist() == [1, 2.5, 80.0]
    shown = fits.shown(fits.of(rows)).set_index("Net")
    # Two values 2 apart: their standard error is 1, and t of one degree of freedom 12.706.
    assert shown.loc["A"].tolist() == [2, "2.00", "55.0", "42.3 to 67.7"]


def test_scales_are_compared_on_seeds_that_have_them_all():
    def tested(net, seed, table, scales, error):
        wrong = np.arange(100) < error
        return row(net, seed, 1.0, error, table=table, test_scales=scales, wrong=wrong)

    alone = [
        tested("D", seed, "scales", q, error + seed)
        for seed in (0, 2)
        for q, error in zip(("224", "256", "288"), (10.0, 20.0, 30.0), strict=True)
    ]
    averaged = [tested("D", seed, "4", "224 256 288", 40.0 + seed) for seed in (0, 1, 2)]
    lone = [tested("D", 1, "scales", "224", 99.0), tested("E", 0, "4", "224 256 288", 99.0)]
    (line,) = fits.by_scale(pd.DataFrame([*alone, *averaged, *lone])).to_dict("records")
    # 30 images more are wrong and none less than at the best scale: as a coin that falls 30 times on one side.
    assert list(line.values()) == ["D", "256", 2, "11.0", "21.0", "31.0", "41.0", "+30.00", "< 0.001, < 0.001"]


def test_scales_are_shown_net_by_net_and_jitter_last():
    runs = [("E", 0, "256"), ("B", 1, "256"), ("C", 0, "256-512"), ("C", 1, "384"), ("C", 1, "256")]
    tests = [
        row(net, seed, 1.0, 9.0, table=table, train_scale=scale, test_scales=q, wrong=np.arange(100) < 9)
        for net, seed, scale in runs
        for table, q in (("scales", "1"), ("scales", "2"), ("scales", "3"), ("4", "1 2 3"))
    ]
    found = fits.by_scale(pd.DataFrame(tests))
    assert found[["Net", "S"]].agg(" ".join, axis=1).tolist() == ["B 256", "C 256", "C 384", "C 256-512", "E 256"]


def test_what_is_found_tells_fit_from_error(rows):
    assert fits.finding(fits.of(rows)) == (
        "Compared with A, by the means over seeds alone: E errs more, with a higher training loss; D errs more, with a "
        "training loss no more than 0.05 higher; B errs no more."
    )
    better = rows.assign(
        history=[[{"train_loss": 1.9}] if net == "D" else own for net, own in rows[["net", "history"]].values]
    )
    assert "D errs more, with a training loss that is no higher; " in fits.finding(fits.of(better))
    assert fits.finding(fits.of(rows[rows["net"] != "A"])) == "There is no net to compare with A."
    assert fits.of(rows.iloc[:0]).empty


def test_the_loss_alone_does_not_explain_what_nets_of_one_loss_err_apart(rows):
    found = fits.of(rows)
    # A and D have mean losses of 2 and 2.04, and errors of 55 and 70; B and E have losses of their own.
    assert fits.at_one_loss(found).startswith(
        "Among nets whose training losses differ by at most 0.05, the largest gap in error lies between D (2.04) and A "
        "(2.00): D errs 15.0 points more, "
    )
    assert fits.at_one_loss(found[found["net"] != "D"]) == ""


def test_the_shallow_net_counts_among_those_of_table_3(rows):
    shallow = [row("B-5x5", 0, 2.5, 60.0, table="5x5"), row("B", 0, 9.0, 9.0, table="5x5")]
    found = fits.of(pd.concat([rows, pd.DataFrame(shallow)])).set_index("net")
    assert found["top1"].to_dict() == {"A": 55.0, "D": 70.0, "E": 80.0, "B": 40.0, "B-5x5": 60.0}

import numpy as np
import pandas as pd
import pytest

from vgglib import paper
from vgglib.metrics import interval_percent
from vgglib.tables import BY_NAME, KEYS, OURS_IN_TABLE_7, TITLES, beside_paper, mean_interval, shown, summary, table7


def row(net="A", seed=0, top1=40.0, status="done", table="3", train_scale="256", test_scales="256", **changes):
    usual = {"table": table, "preset": "demo", "net": net, "train_scale": train_scale, "test_scales": test_scales}
    usual |= {"method": "dense", "start": "he-fan-out", "seed": seed, "status": status, "n_images": 200}
    usual |= {"top1_error_percent": top1, "top5_error_percent": top1 and top1 / 2, "history": [], "environment": {}}
    return usual | changes


def frame(*rows):
    return pd.DataFrame(rows)


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, standard error 1/sqrt(3), t with 2 degrees of freedom 4.3027.
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)


def test_several_seeds_have_a_t_interval_and_one_seed_wilsons():
    rows = frame(row(seed=0, top1=40.0), row(seed=1, top1=42.0), row("B", 0, 30.0), row("B", 1, None, "not run"))
    a, b = summary(rows).to_dict("records")
    assert (a["top1"], a["seeds"], a["status"]) == (41, 2, "done")
    assert (a["top1_low"], a["top1_high"]) == pytest.approx((41 - 12.706, 41 + 12.706), abs=1e-3)
    assert (b["top1"], b["seeds"], b["status"]) == (30, 1, "1 not run")
    assert (b["top1_low"], b["top1_high"]) == interval_percent(30.0, 200)


def test_failed_runs_are_counted_and_shown():
    rows = frame(row(seed=0), row(seed=1, top1=None, status="failed"), row(seed=2, top1=None, status="not run"))
    assert summary(rows).iloc[0][["seeds", "status"]].tolist() == [1, "1 failed, 1 not run"]
    only = summary(frame(row(top1=None, status="failed"))).iloc[0]
    assert only["status"] == "1 failed" and np.isnan(only["top1"])


@pytest.mark.parametrize(
    "name, lines", [("3", 12), ("4", 10), ("5", 6), ("6", 4), ("5x5", 2), ("jitter", 9), ("starts", 3)]
)
def test_a_table_has_all_its_rows_whatever_was_run(name, lines):
    for rows in (pd.DataFrame(), frame(row(table="none"))):
        table = beside_paper(name, rows)
        assert len(table) == lines
        assert set(table["status"]) == {"not run"} and table["top1"].isna().all() and (table["seeds"] == 0).all()
        assert not table.duplicated(KEYS[name]).any()
        assert name in TITLES and len(shown(table)) == lines


def test_table_3_sets_ours_beside_the_papers():
    table = beside_paper("3", frame(row(top1=40.0), row("E", top1=35.0), row("C", table="4", top1=1.0)))
    by_net = table[table["train_scale"] == "256"].set_index("net")
    assert by_net.loc["A", "top1_difference"] == pytest.approx(40.0 - 29.6)
    assert by_net.loc["E", "status"] == "done" and by_net.loc["C", "status"] == "not run"
    assert (table[table["train_scale"] != "256"]["status"] == "not run").all()


def test_table_6_goes_by_ensemble_and_method():
    two = "post-submission (2 nets)"
    rows = frame(row(two, table="6", train_scale="", test_scales="", method="multi-crop", top1=20.0))
    table = beside_paper("6", rows).set_index(["net", "method"])
    assert table.loc[(two, "multi-crop"), ["top1", "top1_val"]].tolist() == [20.0, 23.9]
    assert table.loc[(two, "dense"), "status"] == "not run"


def test_the_control_of_jitter_has_no_number_of_the_papers():
    table = beside_paper("jitter", frame(row("C", table="jitter", train_scale="384+384", test_scales="384", top1=20.0)))
    by_scale = table[table["net"] == "C"].set_index("train_scale")
    assert by_scale.loc["384", "top1_val"] == 28.1 and by_scale.loc["256-512", "top1_val"] == 27.3
    assert np.isnan(by_scale.loc["384+384", "top1_val"]) and by_scale.loc["384+384", "top1"] == 20.0


def test_the_starts_differ_by_start_alone():
    rows = frame(row("E", table="starts", start="A", top1=10.0), row("E", table="starts", start="glorot", top1=30.0))
    table = beside_paper("starts", rows)
    assert table["start"].tolist() == ["A", "he-fan-out", "glorot"]
    assert table["top1"].fillna(-1).tolist() == [10.0, -1, 30.0]


def test_table_7_places_ours_in_the_three_rows_that_can_be_repeated():
    assert set(OURS_IN_TABLE_7) <= set(paper.numbers("state_of_the_art")["method"])
    rows = frame(
        row("E", table="5", train_scale="256-512", test_scales="256 384 512", method="multi-crop & dense", top1=12.0),
        row("E", table="5", train_scale="256-512", test_scales="256 384 512", method="dense", top1=99.0),
        row("ILSVRC submission (7 nets)", table="6", train_scale="", test_scales="", top1=8.0),
    )
    table = table7(rows).set_index("method")
    assert table["top1"].dropna().to_dict() == {
        "VGG (1 net, multi-crop & dense)": 12.0,
        "VGG (ILSVRC submission, 7 nets, dense)": 8.0,
    }
    assert table.loc["VGG (2 nets, multi-crop & dense)", "status"] == "not run"
    assert table.loc["GoogLeNet (1 net)", "status"] == "another group's" and len(table) == 15
    assert shown(BY_NAME["7"](rows)).shape[0] == 15


def test_shown_tables_have_readable_heads_and_no_gaps():
    text = shown(beside_paper("3", frame(row(top1=40.0))))
    first = text.iloc[0]
    assert (first["Top-1, paper"], first["Top-1, ours"], first["Difference"]) == ("29.6", "40.0", "+10.4")
    assert text.iloc[1]["Top-1, ours"] == "-" and not text.isna().any().any()

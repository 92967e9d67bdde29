import numpy as np
import pandas as pd
import pytest

from vgglib.metrics import interval_percent
from vgglib.tables import mean_interval, shown, summary, table3


def row(net="A", seed=0, top1=40.0, status="done", train_scale="256", test_scales="256"):
    return {
        **{"run_id": f"{net}{seed}", "preset": "demo", "net": net, "train_scale": train_scale},
        **{
            "test_scales": test_scales,
            "method": "dense",
            "from_a": False,
            "seed": seed,
            "status": status,
            "n_images": 200,
        },
        **{"top1_error_percent": top1, "top5_error_percent": top1 and top1 / 2, "history": [], "environment": {}},
    }


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, standard error 1/sqrt(3), t with 2 degrees of freedom 4.3027.
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)


def test_several_seeds_have_a_t_interval_and_one_seed_wilsons():
    rows = pd.DataFrame([row(seed=0, top1=40.0), row(seed=1, top1=42.0), row("B", 0, 30.0), row("B", 1, 0, "not run")])
    a, b = summary(rows).to_dict("records")
    assert (a["top1"], a["seeds"], a["status"]) == (41, 2, "done")
    assert (a["top1_low"], a["top1_high"]) == pytest.approx((41 - 12.706, 41 + 12.706), abs=1e-3)
    assert (b["top1"], b["seeds"], b["status"]) == (30, 1, "1 not run")
    assert (b["top1_low"], b["top1_high"]) == interval_percent(30.0, 200)


def test_failed_runs_are_counted_and_shown():
    rows = pd.DataFrame([row(seed=0), row(seed=1, top1=None, status="failed")])
    assert summary(rows).iloc[0][["seeds", "status"]].tolist() == [1, "1 failed"]
    only = summary(pd.DataFrame([row(top1=None, status="failed")])).iloc[0]
    assert only["status"] == "1 failed" and np.isnan(only["top1"])


def test_table_3_keeps_every_row_of_the_paper():
    table = table3(pd.DataFrame([row(top1=40.0), row("E", top1=35.0)]))
    assert len(table) == 12
    by_net = table[table["train_scale"] == "256"].set_index("net")
    assert by_net.loc["A", "top1_difference"] == pytest.approx(40.0 - 29.6)
    assert by_net.loc["E", "status"] == "done" and by_net.loc["C", "status"] == "not run"
    assert (table[table["train_scale"] != "256"]["status"] == "not run").all()


def test_shown_tables_have_readable_heads_and_no_gaps():
    text = shown(table3(pd.DataFrame([row(top1=40.0)])))
    first = text.iloc[0]
    assert (first["Top-1, paper"], first["Top-1, ours"], first["Difference"]) == ("29.6", "40.0", "+10.4")
    assert text.iloc[1]["Top-1, ours"] == "-" and not text.isna().any().any()

import numpy as np
import pandas as pd
import pytest
from rows import best, fused, row, seeds

from vgglib import catalogue, options, paper, plans, tables
from vgglib.metrics import interval_percent, mean_interval
from vgglib.tables import shown, summary

NOTHING = pd.DataFrame()


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, standard error 1/sqrt(3), t with 2 degrees of freedom 4.3027.
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)


def test_several_seeds_have_a_t_interval_and_one_seed_wilsons():
    a, b = summary(pd.DataFrame([*seeds(40.0, 42.0), *seeds(30.0, None, net="B")])).to_dict("records")
    assert (a["net"], a["top1"], a["seeds"], a["status"]) == ("A", 41, 2, "done")
    assert (a["top1_low"], a["top1_high"]) == pytest.approx((41 - 12.706, 41 + 12.706), abs=1e-3)
    assert (b["net"], b["top1"], b["seeds"], b["status"]) == ("B", 30, 1, "1 not run")
    assert (b["top1_low"], b["top1_high"]) == interval_percent(30.0, 200)


@pytest.mark.parametrize(
    "statuses, text",
    [
        (["done", "done", "done"], "done"),
        (["not run", "not run", "not run"], "not run"),
        (["failed", "failed", "failed"], "3 failed"),
        (["done", "failed", "not run"], "1 failed, 1 not run"),
        (["not run", "failed", "not run"], "1 failed, 2 not run"),
    ],
)
def test_status_says_what_is_missing(statuses, text):
    found = summary(pd.DataFrame([row(seed=seed, status=status) for seed, status in enumerate(statuses)]))
    assert found["status"].tolist() == [text]
    assert found["seeds"].tolist() == [statuses.count("done")]
    assert found["top1"].isna().tolist() == ["done" not in statuses]


def test_tables_and_starts_are_kept_apart():
    rows = [row(top1_error_percent=40.0), row("4", top1_error_percent=30.0), row(start="A", top1_error_percent=20.0)]
    assert summary(pd.DataFrame(rows))["top1"].tolist() == [40, 30, 20]


def test_a_number_given_twice_counts_once_and_two_numbers_are_refused():
    twice = pd.DataFrame([*seeds(40.0, 42.0), *seeds(40.0, 42.0)])
    assert summary(twice).equals(summary(pd.DataFrame(seeds(40.0, 42.0))))
    with pytest.raises(ValueError, match="table 3, net A has two different results for seed 0"):
        summary(pd.DataFrame([row(), row(top1_error_percent=39.0)]))
    with pytest.raises(ValueError, match="two different results"):
        summary(pd.DataFrame([row(), row(status="not run")]))


@pytest.mark.parametrize("name", ["3", "4", "5"])
def test_tables_3_to_5_have_the_papers_rows_and_numbers_in_its_order(name):
    theirs = paper.numbers()
    theirs = theirs[theirs["table"] == int(name)].reset_index(drop=True)
    columns = ["net", "train_scale", "test_scales", "method", "top1_val", "top5_val"]
    pd.testing.assert_frame_equal(tables.beside_paper(name, NOTHING)[columns], theirs[columns], check_dtype=False)


@pytest.mark.parametrize("name", catalogue.TABLES)
def test_without_rows_every_line_says_not_run(name):
    elsewhere = pd.DataFrame([row("another")])
    for rows in (NOTHING, elsewhere, elsewhere.iloc[:0]):
        table = tables.beside_paper(name, rows)
        assert set(table["status"]) - {"the paper's number"} == {"not run"}
        assert table["top1"].isna().all() and table["seeds"].fillna(0).eq(0).all()


@pytest.mark.parametrize("name", [name for name in catalogue.TABLES if name != "7"])
def test_every_entry_of_a_plan_has_its_line(name):
    entries = plans.plan("demo", name, seeds=[0, 1])
    lines = [row(name, e.net, e.train_scale, e.test_scales, e.method, start=e.start, seed=e.seed) for e in entries]
    table = tables.beside_paper(name, pd.DataFrame(lines))
    assert len(table) * 2 == len(entries)
    assert set(table["status"]) == {"done"} and set(table["seeds"]) == {2} and set(table["top1"]) == {40}


def test_a_row_stands_in_its_own_line_and_its_own_table():
    rows = [row(top1_error_percent=40.0), row(net="C", train_scale="256-512", test_scales="384", start="A")]
    rows = pd.DataFrame([*rows, row(net="C", status="failed"), row("4", "C", "384", "352 384 416")])
    table = tables.beside_paper("3", rows).set_index(["net", "train_scale"])
    assert len(table) == 12
    assert table.loc[("A", "256"), ["top1", "top1_val"]].tolist() == [40.0, 29.6]
    assert table.loc[("C", "256-512"), ["top1", "top1_val"]].tolist() == [40.0, 27.3]
    assert table.loc["C"]["status"].tolist() == ["1 failed", "not run", "done"]
    assert (tables.beside_paper("4", rows)["status"] == "done").tolist() == [False, False, True, *[False] * 7]


def test_table_6_is_keyed_by_ensemble_and_method():
    rows = [fused("post-submission (2 nets)", "multi-crop", top1_error_percent=20.0)]
    table = tables.beside_paper("6", pd.DataFrame(rows))
    assert table["ensemble"].tolist() == ["ILSVRC submission (7 nets)", *["post-submission (2 nets)"] * 3]
    assert table["method"].tolist() == ["dense", "dense", "multi-crop", "multi-crop & dense"]
    assert table["top1_val"].tolist() == [24.7, 24.0, 23.9, 23.7]
    assert table["top1"].fillna(0).tolist() == [0, 0, 20, 0]


def test_table_7_places_ours_among_the_papers():
    both = "multi-crop & dense"
    rows = [fused("post-submission (2 nets)", both, top1_error_percent=10.0), fused("post-submission (2 nets)")]
    rows += [best("E", both, top1_error_percent=12.0), best("D", both), best("E", "dense"), row("4", "E", method=both)]
    rows += [fused("ILSVRC submission (7 nets)", status="failed")]
    table = tables.beside_paper("7", pd.DataFrame(rows))
    assert len(table) == 15 and table["system"].tolist() == list(paper.numbers("state_of_the_art")["method"])
    assert table["top1"][:2].tolist() == [10, 12] and table["top1"][2:].isna().all()
    assert table["status"].tolist() == ["done", "done", "1 failed", *["the paper's number"] * 12]
    assert table["top5_test"][:3].tolist() == [6.8, 7.0, 7.3]


def test_jitter_has_the_papers_number_where_it_has_one():
    table = tables.beside_paper("jitter", pd.DataFrame([row("jitter", "D", "384+384", "384", top1_error_percent=30.0)]))
    assert [*zip(table["net"], table["train_scale"], strict=True)] == [
        (net, scale) for net in "CDE" for scale in ("384", "384+384", "256-512")
    ]
    assert table["top1_val"].fillna(0).tolist() == [28.1, 0, 27.3, 26.8, 0, 25.6, 26.9, 0, 25.5]
    assert table["top1"].fillna(0).tolist() == [0, 0, 0, 0, 30, 0, 0, 0, 0]


def test_starts_are_lines_and_have_no_number_of_the_paper():
    rows = [row("starts", "E", start=start, top1_error_percent=error) for start, error in (("glorot", 50), ("A", 30))]
    table = tables.beside_paper("starts", pd.DataFrame(rows))
    assert [*zip(table["start"], table["top1"].fillna(0), strict=True)] == [
        ("A", 30),
        ("he-fan-out", 0),
        ("glorot", 50),
    ]
    assert "top1_val" not in table and "top1_val" not in tables.beside_paper("5x5", NOTHING)


def test_every_table_beside_the_papers_is_in_the_list_of_options():
    help_text = str(options.Table.__metadata__[0].help)
    for name, table in catalogue.TABLES.items():
        assert table.title and (name in "34567" or f"{name} ({table.brief})" in help_text)
    beside = help_text.partition("what all leaves out")[2]
    assert [name for name in catalogue.TABLES if f" {name} (" in beside] == [
        name for name, table in catalogue.TABLES.items() if not table.in_all and name != "7"
    ]


def test_shown_tables_have_readable_heads_and_no_gaps():
    text = shown(tables.beside_paper("3", pd.DataFrame([row(net="A-LRN", top1_error_percent=28.7)])))
    assert list(text)[:5] == ["Net", "S", "Q", "Top-1, paper", "Top-1, ours"]  # the method is dense on every line
    first, second = text.iloc[0], text.iloc[1]
    assert (first["Top-1, ours"], first["Seeds"], first["Status"]) == ("-", "0", "not run")
    assert (second["Top-1, paper"], second["Top-1, ours"]) == ("29.7", "28.7")
    low, high = map(float, second["95 % interval"].removesuffix(" (images)").split(" to "))
    two = shown(
        tables.beside_paper("3", pd.DataFrame([row(seed=seed, top1_error_percent=20.0 + seed) for seed in (0, 1)]))
    )
    assert two.iloc[0]["95 % interval"] == "14.1 to 26.9"  # 20.5 -+ 12.7 x 0.5, over seeds
    assert low < 28.7 < high and first["95 % interval"] == "-"
    assert list(shown(tables.beside_paper("5", NOTHING)))[:2] == ["Net", "Evaluation"]
    assert list(shown(tables.beside_paper("starts", NOTHING)))[:2] == ["Start", "Top-1, ours"]
    seventh = shown(tables.beside_paper("7", NOTHING)).iloc[3]
    assert (seventh["Net or ensemble"], seventh["Seeds"]) == ("GoogLeNet (1 net)", "-")
    for name in catalogue.TABLES:
        assert not shown(tables.beside_paper(name, NOTHING)).isin(["nan", "None", "<NA>"]).any().any()


def test_cost_is_of_the_seeds_with_both_methods():
    rows = [best("D", "dense", evaluation_seconds=2.0), best("D", "multi-crop", evaluation_seconds=20.0)]
    rows += [
        best("D", "dense", seed=1, evaluation_seconds=4.0),
        best("D", "multi-crop", seed=1, evaluation_seconds=28.0),
    ]
    rows += [
        best("D", "dense", seed=3, evaluation_seconds=30.0),
        best("D", "multi-crop", seed=3, evaluation_seconds=60.0),
    ]
    rows += [best("D", "dense", seed=2, evaluation_seconds=99.0), best("D", "multi-crop", seed=2, status="failed")]
    rows += [best("E", "dense"), best("E", "multi-crop & dense", evaluation_seconds=1.0)]
    d, e = tables.evaluation_cost(pd.DataFrame(rows)).to_dict("records")
    assert (d["net"], d["seeds"], d["on"]) == ("D", 3, "a CPU")
    # Medians: 2, 4 and 30 seconds for 200 images, 20, 28 and 60, and 10, 7 and 2 times as much.
    assert (d["dense"], d["multi-crop"], d["ratio"]) == pytest.approx((4 / 200, 28 / 200, 7))
    assert (d["dense_high"], d["ratio_low"], d["ratio_high"]) == pytest.approx((30 / 200, 2, 10))
    assert (e["net"], e["seeds"]) == ("E", 0) and np.isnan(e["ratio"])
    assert tables.evaluation_cost(NOTHING)["dense"].isna().all()
    rows[3]["timed_on"] = frozenset({("cpu", "a CPU", 2, 1)})  # crops of seed 1
    d, _ = tables.evaluation_cost(pd.DataFrame(rows)).to_dict("records")
    assert (d["seeds"], d["ratio"]) == (2, 6)

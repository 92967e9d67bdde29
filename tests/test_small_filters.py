import pandas as pd
import pytest
from records import planned, record, trained
from rows import of_pair

from vgglib import show
from vgglib.analysis import lengths, small_filters
from vgglib.display import follow_ups

LONG = "48 epochs, drops at the deadlines, bf16"


def test_rows_are_of_trainings_from_random_weights_that_were_tested_on_a_centre_crop(store):
    longer = {"epochs": 48, "patience": 48}
    trained(store, "B-5x5", 0, table="5x5-centre")
    trained(store, "B-5x5", 1, table="5x5")  # dense alone
    trained(store, "B-5x5", 2, table="5x5-centre", learning_rate=0.01)  # another recipe
    for start in (False, True):
        trained(store, "B", 3, table="5x5-centre", from_a=start, **longer)
    trained(store, "B", 3, table="5x5", from_a=False, **longer)
    for table in ("5x5", "5x5-centre"):
        trained(store, "B-5x5", 3, table=table, **longer)
    trained(store, "B-5x5", 3, table="5x5-centre", precision="bf16", **longer)  # as "auto" was
    found = small_filters.rows(store, "demo")
    assert found[["net", "start", "method", "seed", "recipe"]].values.tolist() == [
        ["B-5x5", "he-fan-out", "centre-crop", 0, "12 epochs, bf16"],
        ["B", "he-fan-out", "centre-crop", 3, LONG],
        ["B-5x5", "he-fan-out", "centre-crop", 3, LONG],
        ["B", "he-fan-out", "dense", 3, LONG],
        ["B-5x5", "he-fan-out", "dense", 3, LONG],
    ]


@pytest.mark.parametrize("module, table", [(small_filters, "5x5-centre"), (lengths, "crops")])
def test_what_a_failed_net_kept_from_beginning_counts_with_the_others(module, table, store):
    from_a = {} if module is lengths else {"from_a": False}
    for net in ("A", "B") if module is lengths else ("B-5x5", "B"):
        trained(store, net, 1, table=table, **from_a)
    (first,) = planned(nets=["A"], seeds=[0])
    (shallow,) = planned(table=table, nets=["A" if module is lengths else "B-5x5"], seeds=[0])
    for run in (first, shallow):
        store.write(run, record(run, status="failed", environment={}))
    found = module.rows(store, "demo")
    failed = found[found["status"] == "failed"]
    assert len(failed) and set(found["recipe"]) == {"12 epochs, bf16"}


def test_the_pair_is_compared_by_way_to_test_and_as_a_ratio():
    rows = of_pair(LONG, B=[2.0, 3.0, 4.0], shallow=[2.0, 6.0, 16.0])
    rows += of_pair(LONG, "dense", B=[1.0, 1.0], shallow=[2.0, 2.0])
    centre, dense = small_filters.table(pd.DataFrame(rows)).to_dict("records")
    # Ratios 1, 2 and 4: their logarithms to base 2 are 0, 1 and 2, standard error 1/sqrt(3), t = 4.303.
    assert (centre["B"], centre["B-5x5"], centre["B - B-5x5"]) == ("3.00", "8.00", "-5.00")
    assert centre["B-5x5 : B"] == "2.00 (0.36 to 11.19)"
    assert (centre["Tested"], centre["Below 0"]) == ("centre-crop", "2 of 3 seeds")
    assert centre["B errs less"] == "undecided"
    # One ratio in all seeds has no interval.
    assert (dense["B-5x5 : B"], dense["95 % interval"]) == ("-", "-")


def test_an_error_of_zero_has_no_ratio_and_a_failed_run_decides_nothing():
    rows = of_pair(LONG, B=[0.0, 1.0], shallow=[3.0, 4.0])
    rows += of_pair(LONG, status="failed", B=[], shallow=[None, None])[1:]
    rows = [entry | {"seed": 2} if entry["status"] == "failed" else entry for entry in rows]
    (line,) = small_filters.table(pd.DataFrame(rows)).to_dict("records")
    assert line["B-5x5 : B"] == "-" and line["B - B-5x5"] == "-3.00"
    assert line["Below 0"] == "2 of 2 seeds, 1 failed" and line["B errs less"] == "undecided"


def test_the_sentence_is_about_the_papers_test_of_nets_from_random_weights():
    rows = of_pair(LONG, B=[2.0, 3.0, 4.0], shallow=[4.0, 5.1, 6.2])
    rows += of_pair(LONG, "dense", B=[2.0, 2.0], shallow=[1.0, 1.5])
    said = small_filters.finding(pd.DataFrame(rows))
    assert said.startswith(
        f"Both nets from random weights, at most {LONG}, tested on a centre crop: B - B-5x5 is -2.10 "
    )
    assert ". B errs less: **yes**" in said and "errs 1.74 times as much as B (" in said and said.count("Both") == 1


def test_a_page_shows_the_pair_or_how_to_test_it(store, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda output, raw=False: shown.append(str(output)))
    monkeypatch.setattr(show, "sentence", shown.append)
    follow_ups.small_filters_of("demo")
    assert "`vgg run --preset demo --table 5x5,5x5-centre --no-from-a --results mine`" in shown[0]
    follow_ups.small_filters_of("tiny-imagenet")
    assert "--data-dir path/to/images --table" in shown[1]
    trained(store, "B-5x5", 0, table="5x5-centre")  # of one net alone there is nothing to compare
    follow_ups.small_filters_of("demo")
    assert shown[2] == shown[0]
    for net, seed in (("B", 0), ("B", 1), ("B-5x5", 0), ("B-5x5", 1)):
        trained(store, net, seed, table="5x5-centre", epochs=48, from_a=False)
    captions = []
    monkeypatch.setattr(show, "table", lambda table, caption: captions.append((len(table), caption)))
    follow_ups.small_filters_of("demo")
    assert captions[0][0] == 1 and "B against B-5x5, tested in two ways" in captions[0][1]
    assert "Both nets from random weights" in shown[-1]

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rows import best, fused, row, seeds

from vgglib import catalogue, results, show, tables
from vgglib.analysis import evidence, headline
from vgglib.display import sections
from vgglib.plans import plan
from vgglib.runner import load_images


@pytest.fixture(autouse=True)
def first_number(monkeypatch):
    """Numbering starts anew, as it does on each page."""
    monkeypatch.setattr(show, "_numbers", {"Table": [], "Figure": []})


@pytest.fixture
def shown(monkeypatch):
    """All that is displayed, in order: (caption, table) or text."""
    found = []
    monkeypatch.setattr(show, "table", lambda frame, caption: found.append((caption, frame)))
    monkeypatch.setattr(show, "sentence", found.append)
    return found


def test_a_table_has_a_caption_for_every_reader(capsys):
    show.table(pd.DataFrame({"Net": ["A", "B & C"]}), "Nets <of> Table 1")
    text = capsys.readouterr().out
    assert "<caption><span><b>Table 1.</b> Nets &lt;of&gt; Table 1</span></caption>" in text
    assert "<td>B &amp; C</td>" in text


def test_a_page_that_is_asked_anew_counts_from_one(capsys):
    for caption in ("first", "second", "first"):
        show.table(pd.DataFrame({"Net": ["A"]}), caption)
    show.count_anew()
    show.table(pd.DataFrame({"Net": ["A"]}), "second")
    found = re.findall(r"<b>Table (\d)", capsys.readouterr().out)
    assert found[0] == "1" and found[-1] == "1"


def test_the_plan_has_a_line_per_net_and_scale(shown):
    sections.the_plan(plan("demo", "3", ["A", "D"], [0, 2]))
    ((caption, table),) = shown
    assert "preset demo" in caption and "width 0.125" in caption and "56 pixels" in caption
    assert table["Net"].tolist() == ["A", "D", "D", "D"]
    assert table["S"].tolist() == ["256", "256", "384", "256-512"]
    assert table["Start"].tolist() == ["he-fan-out", "seven layers from A", "S = 256", "S = 384"]
    assert table["Epochs, at most"].tolist() == [12, 12, 4, 4]
    assert table["Learning rate"].tolist() == ["0.0015", "0.0015", "0.00015", "0.00015"]
    assert table["Q"].tolist() == ["256", "256", "384", "384"]
    assert table["Seeds"].tolist() == ["0, 2"] * 4
    for given, text in (([1, 2, 0], "0 to 2"), ([0, 1], "0, 1"), ([0, 1, 3], "0, 1, 3")):
        sections.the_plan(plan("demo", "3", ["A"], given))
        assert shown[-1][1]["Seeds"].item() == text


def test_presets_are_told_apart_by_their_recipes(shown):
    sections.recipes()
    found = shown[0][1].set_index("Preset")
    assert found.loc["demo"].tolist() == ["1/8", 32, "0.0015", 12, 4, 3, "he-fan-out, B to E from A"]
    assert found.loc["imagenet"].tolist() == ["1", 256, "0.01", 74, 25, 5, "glorot"]


def test_a_caption_names_the_units_of_what_it_has():
    assert sections.effects("depth", "epochs") == f"Effects {sections.POINTS}."
    assert sections.effects("weights", "cheaper-dense") == "Effects of costs a ratio; of counts millions of weights."
    assert sections.effects("epochs") == ""


def test_the_plan_counts_each_training_once_with_all_its_tests(shown):
    sections.the_plan([*plan("demo", "3", ["E"]), *plan("demo", "5", ["E"]), *plan("demo", "jitter", ["E"])])
    table = shown[0][1].set_index("S")
    assert table.index.tolist() == ["256", "384", "256-512", "384+384"]
    assert table.loc["256-512", "Q"] == "256, 384, 512"
    assert table.loc["256-512", "Evaluation"] == "dense, multi-crop"
    assert table.loc["384+384", "Start"] == "S = 384"


def test_the_plan_tells_starts_apart_and_stays_short(shown):
    sections.the_plan(plan("demo", "starts"))
    sections.the_plan(plan("demo", "all"))
    assert shown[0][1]["Start"].tolist() == ["seven layers from A", "he-fan-out", "glorot"]
    assert len(shown[1][1]) == 18


def test_the_table_is_the_one_of_the_rows_or_the_one_named(shown):
    sections.the_table(pd.DataFrame(seeds(40.0, 42.0, table="4", net="B", test_scales="224 256 288")))
    sections.the_table(pd.DataFrame(), "7")
    (fourth, table), (seventh, lines), sentence = shown
    assert fourth.startswith(catalogue.TABLES["4"].title) and "of a single seed it is over the test images" in fourth
    assert table["Top-1, ours"].tolist() == ["41.0"] and len(lines) == 15
    assert seventh.startswith("Table 7 of the paper")
    assert sentence == tables.NOT_COMPARABLE


def test_a_table_leaves_out_nets_that_no_row_is_about(shown):
    sections.the_table(pd.DataFrame([row(), row(net="C", status="not run")]))
    sections.the_table(pd.DataFrame([fused("post-submission (2 nets)")]))
    sections.the_table(pd.DataFrame(), "3")
    (_, third), (_, sixth), (_, every) = shown
    assert third["Net"].tolist() == ["A", "C", "C", "C"] and third["S"].tolist() == ["256", "256", "384", "256-512"]
    assert sixth["Evaluation"].tolist() == ["dense", "multi-crop", "multi-crop & dense"]
    assert len(every) == 12


@pytest.mark.parametrize(
    "rows, name, message",
    [
        (pd.DataFrame(), None, "the table is None: name one of 3, 4"),
        (pd.DataFrame([row(), row("4")]), None, "the table is 3 or 4: name one"),
        (pd.DataFrame([row()]), "8", "the table is 8"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(rows, name, message):
    with pytest.raises(ValueError, match=message):
        sections.the_table(rows, name)


def test_a_verdict_is_a_line_and_a_sentence(shown, monkeypatch):
    monkeypatch.setattr(evidence, "presets", lambda store: ["demo"])
    rows = pd.DataFrame([*seeds(40.0, 41.0, 42.0), *seeds(30.0, 31.5, 31.0, net="E")])
    sections.verdicts(rows, "depth", "epochs")
    (caption, table), depth, epochs = shown
    assert caption == f"Effects {sections.POINTS}." and table["Verdict"].tolist() == ["reproduced", "not tested"]
    assert depth.startswith(
        "**The error falls with depth, from 11 layers to 19: reproduced** (the interval lies below 0"
    )
    assert "not tested** (it needs Krizhevsky's net" in epochs
    sections.details(rows, "depth")
    assert shown[3][0].startswith("Behind 'The error falls with depth") and len(shown[3][1]) == 8


def test_what_other_records_say_stands_beside_the_outcome(shown, monkeypatch):
    own = pd.DataFrame([*seeds(40.0, 41.0, 42.0), *seeds(30.0, 31.5, 31.0, net="E")])
    other = pd.DataFrame([*seeds(40.0, 41.0, 42.0), *seeds(50.0, 51.5, 51.0, net="E")]).assign(preset="folder")

    def rows(store, preset):
        if preset == "imagenet":
            raise ValueError("a record was altered.")
        return other

    monkeypatch.setattr(evidence, "presets", lambda store: ["demo", "folder", "imagenet"])
    monkeypatch.setattr(evidence, "rows", rows)
    sections.outcomes(own, "depth", "lrn", "epochs")
    left_out, said = shown
    assert left_out == "Records of preset `imagenet` are left out: a record was altered."
    assert said.splitlines() == [
        "Effects in points of top-1 error, minus means that what is named first errs less, with 95 % intervals over "
        "seeds.",
        "",
        "- **The error falls with depth, from 11 layers to 19** (E - A, in the paper -2.3):",
        "  - drawn pictures of 24 classes: reproduced, -10.17 (-12.06 to -8.27), 3 seeds",
        "  - your own images: opposite, +9.83 (+7.94 to +11.73), 3 seeds",
        "- **Local response normalisation does not help** (A-LRN - A, in the paper +0.1):",
        "  - drawn pictures of 24 classes: not run",
        "- **The deep nets need fewer epochs than Krizhevsky's**: not tested (it needs Krizhevsky's net trained beside "
        "ours; the paper offers it as a conjecture).",
    ]
    sections.outcomes(own, "epochs")  # which no records are read for, and which has no effect
    assert len(shown) == 3 and shown[2].startswith("- **The deep nets need")


def test_an_outcome_has_what_comes_out_otherwise_and_its_caveat(shown, monkeypatch):
    monkeypatch.setattr(evidence, "presets", lambda store: [])
    monkeypatch.setattr(headline, "otherwise", lambda name, rows, found: [f"{name}, {'jitter-control' in found}"])
    own = pd.DataFrame([*seeds(40.0, 41.0, 42.0, net="B"), *seeds(30.0, 31.5, 31.0, net="C", start="A")])
    sections.outcomes(own, "non-linearity", "jitter", "jitter-control")
    first, jitter, _ = shown[0].split("- **")[1:]
    assert first.splitlines()[2:] == [
        "  - asked otherwise, on drawn pictures of 24 classes:",
        "    - non-linearity, False",
        "  - note, on drawn pictures of 24 classes: C has A's training behind it, B has not",
        "  - note: C is also deeper than B",
    ]
    assert "    - jitter, False" in jitter  # its control has a line of its own
    sections.outcomes(own, "jitter")
    assert "    - jitter, True" in shown[1]


def test_a_failed_run_shows_in_the_outcome(shown, monkeypatch):
    monkeypatch.setattr(evidence, "presets", lambda store: [])
    failed = [row(net=net, status="failed") for net in ("B", "C")]
    sections.outcomes(pd.DataFrame(failed), "non-linearity", "lrn")
    lines = shown[0].splitlines()
    assert "  - drawn pictures of 24 classes: undecided, without a test, -, 2 failed" in lines
    assert "  - drawn pictures of 24 classes: not run" in lines


def test_the_p_values_of_a_difference_stand_beside_a_verdict(shown):
    sections.verdicts(pd.DataFrame([*seeds(40.0, 41.0, 42.0), *seeds(30.0, 31.5, 31.0, net="E")]), "depth")
    # Of -10, -9.5 and -11: 2 of the 8 ways to flip them.
    assert shown[-1].endswith("before the correction: 0.002 by the t test, 0.250 by sign flips.")


def test_pages_read_the_records_that_exist(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    sections.starts_of("smoke")
    sections.scoreboard(pd.DataFrame(), "smoke")
    (starts, lines), (scores, claims) = shown
    assert starts.startswith(catalogue.TABLES["starts"].title) and lines["Status"].tolist() == ["not run"] * 3
    assert "preset smoke" in scores and "reproduced" in set(claims["Verdict"])  # the count of weights needs no run
    assert not list(tmp_path.iterdir())


def test_pages_take_the_recorded_seeds(shown, monkeypatch):
    monkeypatch.setattr(results.Store, "seeds", lambda store, preset: (3, 5))
    monkeypatch.setattr(
        results.Store,
        "rows",
        lambda store, entries: pd.DataFrame(
            [row(entry.table, entry.net, start=entry.start, seed=entry.seed) for entry in entries]
        ),
    )
    sections.starts_of("smoke")
    assert shown[0][1]["Seeds"].tolist() == ["2", "2", "2"]


def test_cost_is_shown_in_milliseconds_and_as_a_ratio(shown):
    rows = [best("D", "dense", evaluation_seconds=2.0), best("D", "multi-crop", evaluation_seconds=20.0)]
    sections.evaluation_cost(pd.DataFrame(rows))
    sections.evaluation_cost(pd.DataFrame())
    (_, table), counted, (_, empty), _ = shown
    assert table.iloc[0].tolist() == ["D", "10", "100", "10", "1", "a CPU"]
    assert table.iloc[1].tolist() == ["E", "-", "-", "-", "0", "not run"]
    rows += [
        best("D", "dense", seed=1, evaluation_seconds=1.0),
        best("D", "multi-crop", seed=1, evaluation_seconds=20.0),
    ]
    sections.evaluation_cost(pd.DataFrame(rows))
    assert shown[4][1].iloc[0].tolist()[:4] == ["D", "7.50 (5.00 to 10)", "100", "15 (10 to 20)"]
    assert "150 crops are 7.9 times" in counted and "5.9 times for images of 4:3" in counted
    assert empty["Dense, ms"].tolist() == ["-", "-"]


def test_tables_and_figures_are_numbered_by_their_captions(capsys, monkeypatch):
    monkeypatch.setattr(show, "HTML", str)
    frame = pd.DataFrame({"Net": ["A"]})
    for caption in ("one", "two", "one"):  # the cell of "one" runs again
        show.table(frame, caption)
        show.picture(plt.figure(figsize=(1, 1)), caption)
    text = capsys.readouterr().out
    assert re.findall(r"<b>(\w+ \d)\.</b> (\w+)", text) == [
        ("Table 1", "one"), ("Figure 1", "one"), ("Table 2", "two"),
        ("Figure 2", "two"), ("Table 1", "one"), ("Figure 1", "one"),
    ]  # fmt: skip
    assert 'id="table-2"' in text and 'id="figure-2"' in text


def test_a_picture_stands_in_the_page_itself(capsys):
    uri = show.sample_picture(64)
    assert uri.startswith("data:image/jpeg;base64,")
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert decoded.size == (64, 64)
    show.picture(plt.figure(figsize=(1, 1)), "A dot", "One dot & no more")
    show.explorer("<p>pick</p>")
    show.table(pd.DataFrame({"Net": ["<b>A</b>"]}), "Nets", escape=False)
    assert "<td><b>A</b></td>" in capsys.readouterr().out


def test_a_plot_looks_the_same_in_fewer_bytes():
    figure, axes = plt.subplots(figsize=(5, 3), dpi=110, layout="constrained")
    for curve in range(6):
        axes.plot(np.sin(np.arange(200) / (9 + curve)) + curve, alpha=0.5)
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    small = show._compressed(show._drawn(figure, 110), photograph=False)
    plt.close(figure)
    before, after = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) for data in (whole.getvalue(), small)
    )
    assert len(small) < len(whole.getvalue()) / 2 and np.abs(before - after).max() < 32
    assert (after[before.min(2) == 255] == 255).all()  # the dark mode turns white alone into its background


def test_chance_depends_on_the_number_of_classes(shown):
    sections.chance(pd.DataFrame([row(status="not run"), row(net="B", n_classes=50)]))
    assert "With 50 classes guessing has a top-1 error of 98.0 % and a top-5 error of 90.0 %" in shown[0]
    sections.chance(pd.DataFrame([row(status="not run")]))
    sections.chance(pd.DataFrame())
    assert shown[1] == shown[2] and "not run" in shown[1]


def test_the_summary_of_the_data_is_that_of_the_drawn_set(shown):
    sections.data_summary("smoke")
    ((caption, table),) = shown
    images = load_images("smoke")
    for name, split in (("train", images.train), ("minival", images.minival), ("val", images.val)):
        line = table.set_index("Split").loc[name]
        assert line["Images"] == str(len(split)) and line["Classes"] == len(images.class_names)
        assert line["Smallest side, px"] == split.sizes.min() and line["Largest side, px"] == split.sizes.max()
    assert caption == "Data set shapes of preset smoke."

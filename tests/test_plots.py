import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from rows import best, fused, row, seeds

from vgglib import plots
from vgglib.plans import plan

NOTHING = pd.DataFrame()


pytestmark = pytest.mark.usefixtures("house_style")


def drawn(axes):
    """Series -> (x, y) of its dots."""
    containers = {container.get_label(): container[0] for container in axes.containers if container[0]}
    return {label: (line.get_xdata().tolist(), line.get_ydata().tolist()) for label, line in containers.items()}


def panels(axes):
    return axes.figure.axes[:2]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def curve(errors, **changes):
    history = [{"epoch": epoch, "minival_top1_error_percent": error} for epoch, error in enumerate(errors, start=1)]
    return row(history=history, **changes)


def every_row(status="done", count=2):
    entries = plan("demo", "all", seeds=range(count))
    made = [row(e.table, e.net, e.train_scale, e.test_scales, e.method, start=e.start, seed=e.seed) for e in entries]
    rows = pd.DataFrame(made)
    if status == "done":
        return rows
    return pd.DataFrame([row(**line | {"status": status, "top1_error_percent": None}) for line in made])


FIGURES = {
    "depth": plots.error_by_depth,
    "train scale": plots.error_by_train_scale,
    "test scales": plots.one_and_several_scales,
    "methods": plots.methods,
    "ensembles": plots.members_and_ensembles,
    "curves": plots.training_curves,
    "curves by net": plots.curves_by_net,
    "loss and error": plots.loss_and_error,
    "effects": lambda rows: plots.effects(rows, ["depth", "jitter-control"]),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_can_be_drawn_whatever_is_missing(figure):
    many = every_row()
    for rows in (NOTHING, many, every_row(count=1), every_row("not run"), every_row("failed"), many.iloc[:1]):
        FIGURES[figure](rows).figure.savefig(io.BytesIO(), format="png", dpi=30)
        plt.close("all")


def test_depth_takes_table_3_at_s_256_alone():
    rows = [*seeds(40.0, 42.0), *seeds(19.0, 21.0, net="E"), *seeds(1.0, net="A-LRN")]
    rows += [*seeds(10.0, net="E", train_scale="384", test_scales="384"), *seeds(2.0, net="E", table="starts")]
    axes = plots.error_by_depth(pd.DataFrame(rows), ["A-LRN", "E", "A"])
    ours, theirs = panels(axes)
    assert axes is ours and (ours.get_title(), theirs.get_title()) == ("ours, 95 % interval", "paper (ImageNet)")
    assert drawn(ours) == {"all": ([0, 1], [41, 20])} and drawn(theirs) == {"all": ([0, 1], [29.6, 27.3])}
    assert ticks(theirs.xaxis) == ["A\n11", "E\n19"]


def test_intervals_are_those_of_the_table():
    axes = plots.error_by_depth(pd.DataFrame(seeds(40.0, 42.0)), ["A"])
    (segments,) = [bars.get_segments() for bars in axes.containers[0][2]]
    assert segments[0][:, 1].tolist() == pytest.approx([41 - 12.706, 41 + 12.706], abs=1e-3)
    # Wilson's interval of no errors begins at 0; rounding must not turn that into a negative length.
    assert plots.interval_reach([0.0], [1e-18], [2.0]).tolist() == [[0], [2]]
    assert plots.interval_reach([0.0], [np.nan], [np.nan]).tolist() == [[0], [0]]


def test_an_interval_over_images_looks_otherwise_and_is_named():
    axes = plots.error_by_depth(pd.DataFrame([*seeds(40.0, 42.0), row(net="E")]), ["A", "E"])
    over_seeds, over_images = (container[2][0] for container in axes.containers)
    assert [np.ptp(bar[:, 1]) > 0 for bar in over_seeds.get_segments()] == [True, False]
    assert [np.ptp(bar[:, 1]) > 0 for bar in over_images.get_segments()] == [False, True]
    (solid,), (dotted,) = over_seeds.get_linestyle(), over_images.get_linestyle()
    assert solid[1] is None and dotted[1] is not None
    assert axes.get_title() == "ours, 95 % interval\ndotted: over images, of one seed"
    assert drawn(panels(axes)[1]).keys() == {"all"}


def test_jitter_has_a_line_per_net_over_three_trainings():
    rows = [
        row("jitter", "D", scale, "384", top1_error_percent=error) for scale, error in (("384", 30), ("256-512", 20))
    ]
    ours, theirs = panels(plots.error_by_train_scale(pd.DataFrame(rows)))
    assert drawn(ours)["D"] == ([0, 2], [30, 20]) and drawn(ours)["C"] == ([], [])
    assert drawn(theirs)["D"][1] == [26.8, 25.6]
    assert ticks(theirs.xaxis) == ["384", "384+384", "256-512"]


def test_one_scale_is_joined_with_three_of_the_same_net():
    rows = [row(net="D", train_scale="384", test_scales="384", top1_error_percent=30.0)]
    rows += [row("4", "D", "384", "352 384 416", top1_error_percent=29.0), row(net="A", top1_error_percent=50.0)]
    ours, theirs = panels(plots.one_and_several_scales(pd.DataFrame(rows)))
    assert drawn(ours)["D, S = 384"] == ([0, 1], [30, 29])
    assert drawn(theirs)["D, S = 384"] == ([0, 1], [26.8, 26.5])
    assert len(drawn(theirs)) == 10  # A and A-LRN are not in Table 4


def test_a_legend_shows_the_line_styles_that_tell_training_scales_apart():
    (legend,) = plots.one_and_several_scales(every_row()).figure.legends
    assert {"C, S = 384", "C, S = 256-512"} <= {text.get_text() for text in legend.get_texts()}
    before_marker = (
        legend.handlelength * legend.get_texts()[0].get_fontsize() / 2 - plt.rcParams["lines.markersize"] / 2
    )
    assert before_marker > sum(plt.rcParams["lines.dashdot_pattern"]) * plt.rcParams["lines.linewidth"]


def test_methods_are_in_the_order_of_table_5():
    rows = [best("E", method, top1_error_percent=error) for method, error in (("multi-crop", 19), ("dense", 20))]
    ours, theirs = panels(plots.methods(pd.DataFrame(rows)))
    assert drawn(ours)["E"][1] == [20, 19] and drawn(theirs)["E"][1] == [24.8, 24.6, 24.4]
    assert ticks(theirs.xaxis) == ["dense", "multi-crop", "multi-crop & dense"]


def test_ensembles_stand_below_their_members():
    rows = [row("4", "C", "256-512", "256 384 512"), row("4", "E", "256", "224 256 288", top1_error_percent=30.0)]
    rows += [
        fused("post-submission (2 nets)", top1_error_percent=20.0),
        fused("post-submission (2 nets)", "multi-crop"),
    ]
    ours, theirs = panels(plots.members_and_ensembles(pd.DataFrame(rows)))
    assert ticks(ours.yaxis)[-3:] == ["E, S = 256-512", "ILSVRC submission (7 nets)", "post-submission (2 nets)"]
    assert "C, S = 256-512" not in ticks(ours.yaxis)  # is a member of neither
    assert drawn(ours) == {"one net": ([30], [5]), "ensemble": ([20], [9])}
    assert drawn(theirs)["ensemble"] == ([24.7, 24.0], [8, 9])
    assert ours.yaxis_inverted()


def test_a_forest_has_ours_with_an_interval_and_the_papers():
    frame = pd.DataFrame(
        [("C - B", -1.0, -3.0, 1.0, -0.6), ("one seed", 2.0, None, None, None), ("not run", None, None, None, -1.1)],
        columns=["label", "ours", "low", "high", "paper"],
    )
    axes = plots.forest(frame)
    ours, theirs = ([container[0] for container in panel.containers] for panel in panels(axes))
    assert [line.get_xdata().tolist()[:2] for line in ours] == [[-1, 2]]
    assert [line.get_xdata()[[0, 2]].tolist() for line in theirs] == [[-0.6, -1.1]]
    bars = axes.containers[0][2][0].get_segments()
    assert [segment[:, 0].tolist() for segment in bars[:2]] == [[-3, 1], [2, 2]]
    assert ticks(axes.yaxis) == ["C - B", "one seed", "not run"]
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)  # no effect


def test_effects_are_those_of_the_claims():
    rows = pd.DataFrame([*seeds(40.0, 41.0, 42.0), *seeds(30.0, 32.0, 31.0, net="E")])
    axes = plots.effects(rows, ["depth", "lrn"])
    ours, theirs = [panel.containers[0][0].get_xdata().tolist() for panel in panels(axes)]
    assert ours == pytest.approx([-10, np.nan], nan_ok=True) and theirs == pytest.approx([27.3 - 29.6, 29.7 - 29.6])
    for name in ("cheaper-dense", "weights"):
        with pytest.raises(ValueError, match=f"the claim '{name}' is not about errors"):
            plots.effects(rows, [name])


def test_a_later_stage_begins_where_the_one_before_ended():
    stages = {"256": [90.0, 80.0, 70.0], "384": [75.0, 60.0], "256-512": [65.0]}
    rows = [
        curve(errors, net="D", train_scale=scale, seed=seed)
        for seed in (0, 1)
        for scale, errors in stages.items()
        if (seed, scale) != (1, "256")
    ]
    axes = plots.training_curves(pd.DataFrame(rows[::-1]), by="train_scale")
    lines = [line.get_xdata().tolist() for line in axes.lines]
    assert lines[::-1] == [[1, 2, 3], [4, 5], [6], [1, 2], [3]]  # of seed 1 the first stage is not given
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["256-512", "384", "256"]


def test_a_training_is_drawn_once_and_ends_where_it_failed():
    rows = [curve([90.0, 80.0]), curve([90.0, 80.0], table="4"), curve([99.0], net="B", status="failed"), row(net="C")]
    axes = plots.training_curves(pd.DataFrame(rows))
    assert [line.get_ydata().tolist() for line in axes.lines] == [[90, 80], [99]]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["A", "B"]


def test_starts_have_a_line_each():
    rows = [curve([90.0 - number], net="E", start=start) for number, start in enumerate(("A", "glorot"))]
    axes = plots.training_curves(pd.DataFrame(rows), by="start")
    assert axes.get_legend().get_title().get_text() == "start" and len(axes.lines) == 2


def test_the_loss_stands_beside_the_error():
    one = curve([90, 50])
    one["history"] = [epoch | {"train_loss": loss} for epoch, loss in zip(one["history"], (3.0, 1.0), strict=True)]
    loss, error = plots.loss_and_error(pd.DataFrame([one])).axes
    assert loss.lines[0].get_ydata().tolist() == [3, 1] and error.lines[0].get_ydata().tolist() == [90, 50]
    assert "loss" in loss.get_ylabel() and "minival" in error.get_ylabel()


def test_every_net_has_a_panel_with_its_stages():
    stages = [("A-LRN", "256"), ("E", "256-512"), ("E", "384"), ("E", "256")]
    figure = plots.curves_by_net(pd.DataFrame([curve([90, 50], net=net, train_scale=scale) for net, scale in stages]))
    shown = [axes for axes in figure.axes if axes.has_data()]
    assert [axes.get_title() for axes in shown] == ["net A-LRN", "net E"]
    assert [text.get_text() for text in shown[1].get_legend().get_texts()] == ["256", "384", "256-512"]
    assert [line.get_xdata().tolist() for line in shown[1].lines] == [[1, 2], [3, 4], [5, 6]]


def test_state_of_the_art_holds_the_published_test_errors():
    axes = plots.state_of_the_art()
    places = {place: error for line in axes.lines for error, place in zip(*line.get_data(), strict=True)}
    labels = ticks(axes.yaxis)
    assert len(labels) == len(places) == 13
    assert places[labels.index("GoogLeNet (1 net)")] == 7.9
    assert places[labels.index("VGG (1 net, multi-crop & dense)")] == 7.0
    assert "OverFeat (1 net)" not in labels  # the paper has no test error of it
    single = next(line for line in axes.lines if line.get_label() == "others, one net")
    assert {labels[place] for place in single.get_ydata()} == {
        f"{whose} (1 net)" for whose in ("GoogLeNet", "MSRA", "Clarifai", "Zeiler & Fergus")
    }


def test_figures_can_be_told_apart_without_colour():
    looks = [plots.look(number) for number in range(7)]
    assert len({look["marker"] for look in looks}) == 7
    assert np.unique([look["color"] for look in looks], axis=0).shape[0] == 7


def test_a_test_without_a_history_hides_no_training_curve():
    history = [{"epoch": n, "minival_top1_error_percent": 50.0 / n} for n in (1, 2)]
    same = {"net": "A", "seed": 0, "start": "", "train_scale": "256"}
    found = pd.DataFrame([same | {"history": own} for own in ([], history)])
    (line,) = plots.training_curves(found).lines
    assert line.get_ydata().tolist() == [50, 25]

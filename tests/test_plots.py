import matplotlib.pyplot as plt
import pandas as pd
import pytest
from test_tables import frame, row

from vgglib import plots


@pytest.fixture(autouse=True)
def closed():
    plots.style()
    yield
    plt.close("all")


def history(*errors):
    return [{"epoch": i, "minival_top1_error_percent": error} for i, error in enumerate(errors, 1)]


ROWS = frame(
    row("A", top1=30.0, history=history(90, 30)),
    row("A", seed=1, top1=34.0, history=history(90, 34)),
    row("E", top1=None, status="failed", history=history(95)),
    row("C", top1=22.0, history=history(80, 22)),
    row("C", top1=20.0, table="4", test_scales="224 256 288", history=history(80, 22)),
)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rows: plots.error_by_depth(rows, ["A", "B", "E"]),
        plots.error_by_train_scale,
        plots.methods,
        plots.members_and_ensembles,
        plots.one_and_several_scales,
        lambda rows: plots.effects(rows, ["lrn", "jitter", "cheaper-dense"]),
        lambda _: plots.state_of_the_art(),
        plots.training_curves,
    ],
    ids=lambda draw: getattr(draw, "__name__", "drawn"),
)
@pytest.mark.parametrize("rows", [ROWS, ROWS.iloc[2:3], ROWS.iloc[:1]], ids=["some", "failed", "one"])
def test_every_figure_is_drawn_whatever_was_run(draw, rows):
    axes = draw(rows.reset_index(drop=True))
    axes.figure.draw_without_rendering()
    assert axes.get_xlabel() or axes.get_ylabel()


def test_error_by_depth_shows_the_means_and_the_papers_numbers():
    axes = plots.error_by_depth(ROWS, ["A", "E"])
    ours = axes.lines[0]
    assert ours.get_ydata().tolist() == [32.0] and ours.get_xdata().tolist() == [0]  # E failed
    right = axes.figure.axes[1]
    assert right.lines[0].get_ydata().tolist() == [29.6, 27.3]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A\n11", "E\n19"]


def test_one_and_several_scales_shows_differences():
    axes = plots.one_and_several_scales(ROWS)
    ours = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.lines[0].get_xdata(), strict=True))
    assert ours["C, S = 256"] == -2.0 and pd.isna(ours["D, S = 256"])
    theirs = axes.lines[1].get_xdata()
    assert theirs[0] == pytest.approx(28.2 - 28.7)  # net B


def test_training_curves_have_a_line_per_training():
    axes = plots.training_curves(ROWS)
    assert len(axes.lines) == 4  # the second test of C has the same training
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["A", "E", "C"]
    assert plots.training_curves(ROWS.iloc[:0]).get_legend() is None

import numpy as np
import pytest
from answers import FIRST, NAMES, SECOND, nothing, of, saying
from conftest import split_of

from vgglib.analysis import calibration, class_errors, errors
from vgglib.display import error_plots

pytestmark = pytest.mark.usefixtures("house_style")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_sheet_shows_the_chosen_images_and_what_was_said():
    worse = saying([[0, 1, 1, 0]], np.array([0, 0, 1, 1]))
    better = saying([[0, 0, 1, 1]], np.array([0, 0, 1, 1]), "E", confidence=0.6)
    val = split_of([(10, 0, 0), (20, 0, 0), (30, 0, 0), (40, 0, 0)], [0, 0, 1, 1])
    chosen = errors.cases(worse, better, 6)
    figure = error_plots.sheet(chosen, val, NAMES, worse, better)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.images[0].get_array()[0, 0, 0] for axes in shown] == [20, 40]
    assert [axes.get_title() for axes in shown] == ["plain disc", "plain star"]
    assert texts(shown[0]) == ["A: plain star 0.80\nE: plain disc 0.60"]
    assert len(figure.axes) == 3 and not any(axes.axison for axes in figure.axes)
    assert error_plots.described(chosen, NAMES, worse, better) == (
        "2 images that A gets wrong and E right: plain disc (A: plain star 0.80, E: plain disc 0.60); "
        "plain star (A: plain disc 0.80, E: plain star 0.60)"
    )


def test_a_matrix_has_errors_alone_and_lines_between_groups():
    names = ("plain disc", "dotted disc", "plain star", "dotted star")
    axes = error_plots.confusion(saying([[1, 1, 2, 2]], np.array([0, 1, 2, 3]), classes=4), names)
    drawn = np.ma.filled(axes.images[0].get_array(), -1)
    assert drawn.tolist() == [[-1, 100, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0], [0, 0, 100, -1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)
    assert [line.get_xdata()[0] for line in axes.lines[1:]] == [1.5]
    numbered = error_plots.confusion(FIRST, ("class 0", "class 1", "class 2"))
    assert not numbered.lines


def test_bins_of_few_images_are_left_out(monkeypatch):
    labels = np.zeros(40, int)
    own = of(np.array([[*[[0.8, 0.2]] * 30, *[[0.45, 0.55]] * 10]]), labels)
    other = saying([np.zeros(40, int)], labels, "E", classes=2)
    first, second = error_plots.reliability({"one": [own, nothing("B"), other], "two": [nothing()]}).axes
    diagonal, a, e = first.lines
    assert (a.get_xdata().tolist(), a.get_ydata().tolist()) == ([pytest.approx(80)], [100])  # not the ten at 0.55
    assert e.get_label() == "E" and a.get_marker() != e.get_marker()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    assert texts(second) == ["not run"] and second.get_legend() is None
    monkeypatch.setattr(calibration, "SMALL_BIN", 1)
    (_, a), _ = (axes.lines[:2] for axes in error_plots.reliability({"one": [own], "two": [own]}).axes)
    assert a.get_ydata().tolist() == [0, 100]


def test_classes_stand_in_the_order_of_the_last_nets_errors():
    axes = error_plots.by_class([FIRST, nothing("B"), SECOND], NAMES)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["plain disc", "dotted star", "plain star"]
    assert axes.get_ylim() == (2.5, -0.5)
    first, second = axes.containers
    assert (first.get_label(), second.get_label()) == ("A", "E")
    assert second[0].get_xdata().tolist() == [50, 25, 50]  # label order
    assert second[0].get_ydata().tolist() == pytest.approx([0.15, 2.15, 1.15])
    table = class_errors.by_class(SECOND)
    reach = second[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in reach], table[["low", "high"]])


def test_many_classes_have_no_names(monkeypatch):
    monkeypatch.setattr(class_errors, "MANY_CLASSES", 2)
    assert not error_plots.by_class([FIRST], NAMES).get_yticklabels()


def test_without_records_figures_say_so():
    assert texts(error_plots.confusion(nothing(), ())) == ["not run"]
    assert texts(error_plots.by_class([nothing(), nothing("E")], ())) == ["not run"]

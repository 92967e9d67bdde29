import pandas as pd
import pytest

from vgglib import cost
from vgglib.configs import config
from vgglib.display import cost_plots

pytestmark = pytest.mark.usefixtures("house_style")


def heights(container):
    return [bar.get_height() for bar in container]


def test_bars_of_stacks_are_the_weights():
    axes = cost_plots.stacks(100)
    stack, single = axes.containers[:2]
    assert heights(stack) == pytest.approx([0.18, 0.27, 0.36, 0.45])
    assert heights(single) == pytest.approx([0.25, 0.49, 0.81, 1.21])
    assert axes.get_xticklabels()[1].get_text() == "3 of 3x3\nor 7x7"


def test_bars_of_parameters_add_up():
    axes = cost_plots.parameters(["A", "E"])
    widths = [sum(bars) for bars in zip(*([bar.get_width() for bar in c] for c in axes.containers), strict=True)]
    assert widths == pytest.approx([cost.parameters(config(net)) / 1e6 for net in "AE"])


def test_layers_have_a_bar_each_in_the_colour_of_their_kind():
    panels = cost_plots.layers("A", 32).axes
    table = cost.layers(config("A"), 32)
    for axes, column in zip(panels, ("macs", "activations", "parameters"), strict=True):
        drawn = [sum(bars) for bars in zip(*(heights(c) for c in axes.containers), strict=True)]
        assert drawn == pytest.approx((table[column] / 1e6).tolist())


def test_the_roofline_bends_where_both_limits_meet():
    times = pd.DataFrame({"kind": ["conv", "pool"], "operations": [4e6, 1e6], "bytes": [1e4, 1e6]})
    axes = cost_plots.roofline(
        times.assign(seconds_per_image=1e-3), {"macs_per_second": 5e10, "bytes_per_second": 1e10}
    )
    roof, conv, pool, _ = axes.lines
    assert max(roof.get_ydata()) == pytest.approx(100)
    assert roof.get_ydata()[0] == pytest.approx(10 * roof.get_xdata()[0])
    assert (conv.get_xdata()[0], conv.get_ydata()[0]) == pytest.approx((400, 4))
    assert (pool.get_xdata()[0], pool.get_ydata()[0]) == pytest.approx((1, 1))

import numpy as np
import pytest

from vgglib.configs import config
from vgglib.display import field_plots
from vgglib.effective_field import central

FLAT = np.full((224, 224), 224.0**-2)


pytestmark = pytest.mark.usefixtures("house_style")


def lines(axes):
    """Label -> y of its dots; the helper lines have no label of their own."""
    return {
        line.get_label(): list(line.get_ydata()) for line in axes.lines if not line.get_label().startswith("_child")
    }


def looks(axes):
    return [(line.get_color(), line.get_marker()) for line in axes.lines if not line.get_label().startswith("_child")]


def test_sizes_by_hand():
    axes = field_plots.sizes(["A", "D"])
    # A: 3, then behind each pool one pixel per stride more; a conv adds 2 strides, fc6 6 of the last.
    assert lines(axes)["A"] == [3, 8, 18, 26, 46, 62, 102, 134, 150 + 6 * 32]
    assert len(lines(axes)["D"]) == 14 and lines(axes)["D"][-1] == 404
    assert axes.lines[-1].get_ydata()[0] == 224
    assert axes.get_ylim()[0] == 0


def test_every_net_has_a_look_of_its_own():
    nets = ["A", "A-LRN", "B", "C", "D", "E", "B-5x5"]
    assert len(set(looks(field_plots.sizes(nets)))) == len(nets)


def test_padding_by_hand():
    found = field_plots.padding(config("D"), 224, (256, 512)).set_index("layer")
    assert list(found.columns) == ["crop", 256, 512]
    assert list(found.index)[-2:] == ["pool5", "fc6"]
    # Of 3 pixels the first and the last unit have 2 inside.
    for column, side in (("crop", 224), (256, 256), (512, 512)):
        assert found.loc["conv1_1", column] == pytest.approx(100 * (1 - ((3 * side - 2) / (3 * side)) ** 2))
    # fc6 sees 404 pixels from 90 before the first one on: all 224 of a crop. On 256 pixels it has a second placement,
    # 32 pixels further; both reach over both edges and see all 256.
    assert central(config("D"), "pool5", 224)[0].span(0) == (-90, 121)
    assert found.loc["fc6", "crop"] == pytest.approx(100 * (1 - (224 / 404) ** 2))
    assert found.loc["fc6", 256] == pytest.approx(100 * (1 - (256 / 404) ** 2))
    # On 512 pixels there are ten; the first three begin before the image and the last three end behind it, as far:
    # 9 * 32 - 90 + 404 - 512 = 90.
    beyond = [90, 58, 26, 0, 0, 0, 0, 26, 58, 90]
    assert found.loc["fc6", 512] == pytest.approx(100 * (1 - (1 - np.mean(beyond) / 404) ** 2))


def test_a_larger_image_has_a_smaller_share_of_padding():
    found = field_plots.padding(config("E"), 56, (64, 96, 128)).set_index("layer")
    assert (np.diff(found.to_numpy(), axis=1) < 0).all()
    with pytest.raises(ValueError, match="an image of 48 pixels is smaller than the crop of 56"):
        field_plots.padding(config("E"), 56, (64, 48))


def test_the_figure_of_padding_shows_its_table():
    shares = field_plots.padding(config("A"))
    figure = field_plots.outside({"paper": shares, "quarter": field_plots.padding(config("A"), 56, (64, 96, 128))})
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("paper", "quarter")
    assert lines(first) == {
        "crop": list(shares["crop"]),
        **{f"dense, {side} px": list(shares[side]) for side in (256, 384, 512)},
    }
    assert "dense, 64 px" in lines(second)
    assert len(set(looks(first))) == 4
    assert first.get_ylim() == (0, 100)


def test_maps_have_both_squares_around_the_fields_centre():
    found = {"pool4": FLAT, "pool5": FLAT, "conv1_1": FLAT}
    figure = field_plots.maps(config("D"), {"random": found, "trained": found}, ["pool4", "pool5"])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == 4
    assert [axes.get_ylabel() for axes in panels] == ["random", "", "trained", ""]
    for axes, (layer, size) in zip(panels, [("pool4", 100), ("pool5", 212)] * 2, strict=True):
        theory, effective = axes.patches
        width = effective.get_width()
        assert axes.get_title() == f"{layer}\n{width} of {size} px"
        assert theory.get_width() == theory.get_height() == size
        field, unit = central(config("D"), layer, 224)
        first, last = field.span(unit)
        # A pixel's own square reaches half a pixel to each side of its number.
        assert (theory.get_x(), theory.get_x() + size) == (first - 0.5, last + 0.5)
        assert effective.get_x() + width / 2 == theory.get_y() + size / 2 == field.centre(unit)
        assert axes.get_xlim() == (-0.5, 223.5)  # a square beyond the image does not widen the panel
        np.testing.assert_allclose(axes.images[0].get_array(), 1)


def test_every_figure_is_drawn():
    for figure in (
        field_plots.sizes(["A"], 56).figure,
        field_plots.outside({"one": field_plots.padding(config("A"))}),
        field_plots.maps(config("E"), {"one": {"conv1_1": FLAT}}, ["conv1_1"]),
    ):
        figure.canvas.draw()

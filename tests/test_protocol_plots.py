import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from photographs import picture

from vgglib.display import pictures, protocol_plots
from vgglib.models import VGG

pytestmark = pytest.mark.usefixtures("house_style")


def test_training_scales_by_hand():
    image = picture(200, 100)
    figure = protocol_plots.training_scales(image, (100, 200), crop=80)
    above, first, second = figure.axes
    # 100 x 200 at S = 100 and 200 x 400 at S = 200, ten pixels apart, which all stand on 0.
    assert [shown.get_extent() for shown in above.images] == [[0, 100, 0, 200], [110, 310, 0, 400]]
    assert above.get_xlim() == (0, 310) and above.get_ylim()[1] > 400
    frames = [(*frame.get_xy(), frame.get_width(), frame.get_height()) for frame in above.patches]
    assert frames == [(10, 60, 80, 80), (170, 160, 80, 80)]
    # The crop's first pixel is in row 60 of 200 and column 10 of 100; its share of the picture is 6400 in 20 000.
    assert first.images[0].get_array()[0, 0].tolist() == [60, 10, 100]
    assert first.images[0].get_array().shape == second.images[0].get_array().shape == (80, 80, 3)
    assert [axes.get_title() for axes in (first, second)] == ["32 % of it", "8 % of it"]


def test_a_wide_picture_is_as_high_as_s():
    above = protocol_plots.training_scales(picture(100, 150), (100, 200), crop=50).axes[0]
    assert [shown.get_extent() for shown in above.images] == [[0, 150, 0, 100], [156, 456, 0, 200]]
    assert above.get_xlim() == (0, 456) and above.get_ylim()[1] > 200


def test_training_crops_are_parts_of_the_picture_and_depend_on_the_seed():
    image = picture(256, 250)
    image[..., 2] = 0
    one = pictures.alone(image)
    one.__dict__["rgb_components"] = torch.zeros(3, 3)  # no shift of colour

    def crops(seed):
        figure = protocol_plots.training_crops(one, seed, columns=4)
        assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["S =\n256", "S =\n384", "S in\n[256; 512]"]
        return np.array([axes.images[0].get_array() for axes in figure.axes]).astype(int)

    found = crops(0)
    assert found.shape == (12, 224, 224, 3)
    np.testing.assert_array_equal(found, crops(0))
    assert (found != crops(1)).any()
    # Rows lie below each other, 223 of 256 of the way, and at S = 384 two thirds of that; columns rise or, in a
    # mirrored crop, fall.
    down = found[:, -1, 0, 0] - found[:, 0, 0, 0]
    assert (abs(down[:4] - 223 * 250 / 256) < 7).all() and (abs(down[4:8] - 223 * 250 / 384) < 5).all()
    across = found[:, 0, -1, 1] - found[:, 0, 0, 1]
    assert (across > 0).any() and (across < 0).any()
    # With jitter each crop shows a part of another size.
    assert len(set(down[8:])) > 1 and down[8:].min() >= 105 and down[8:].max() <= 223


def test_colour_shifts_by_hand():
    one = pictures.alone(picture(4, 4))
    one.__dict__["rgb_components"] = torch.tensor([[3.0, 0, 4], [0, 0, 0], [0, 20, 0]])
    assert protocol_plots.colour_shifts(one) == pytest.approx([0.5, 0, 2])


def test_positions_by_hand():
    # The paper's sides: a grid from edge to edge, and a cell for every 32 pixels that five pools leave.
    assert protocol_plots.positions(256, "multi-crop").tolist() == [0, 8, 16, 24, 32]
    assert protocol_plots.positions(512, "multi-crop").tolist() == [0, 72, 144, 216, 288]
    assert protocol_plots.positions(256, "dense").tolist() == [0, 32]
    assert protocol_plots.positions(287, "dense").tolist() == [0, 32]
    assert protocol_plots.positions(384, "dense").tolist() == [0, 32, 64, 96, 128, 160]
    assert protocol_plots.positions(96, "dense", 56).tolist() == [0, 32, 64]
    with pytest.raises(ValueError, match="a side of 200 pixels is shorter than the crop of 224"):
        protocol_plots.positions(200, "dense")
    with pytest.raises(ValueError, match="unknown method 'sparse': choose dense or multi-crop"):
        protocol_plots.positions(256, "sparse")


@pytest.mark.parametrize("side", [56, 64, 85, 96, 128, 171])
def test_dense_positions_are_the_cells_of_the_nets_own_map(side):
    model = VGG("A", num_classes=2, width=1 / 64, input_size=56).eval()
    with torch.inference_mode():
        cells = model.dense(torch.zeros(1, 3, 64, side)).shape
    assert cells[-2:] == (2, len(protocol_plots.positions(side, "dense", 56)))


def test_looks_by_hand():
    # Along 8 pixels five crops of 4 begin at 0, 1, 2, 3 and 4; along 4 pixels all at 0.
    found = protocol_plots.looks((4, 8), "multi-crop", 4)
    assert found.tolist() == [[5 * n for n in (1, 2, 3, 4, 4, 3, 2, 1)]] * 4
    # At Q = 256 crops of 224 begin at 0 and 32: only the middle is in both, and 192 pixels further none is left.
    found = protocol_plots.looks((256, 257), "dense")
    assert found.shape == (256, 257)
    assert found[[0, 31, 32, 223, 224, 255], 0].tolist() == [1, 1, 2, 2, 1, 1]
    assert (found[128, 128], found[128, 255], found[128, 256]) == (4, 2, 0)
    assert found.sum() == 4 * 224**2


def test_places_of_crops_by_hand():
    figure = protocol_plots.places_of_crops(picture(20, 40), (20, 40), crop=12)
    sides = [axes.images[0].get_array().shape for axes in figure.axes]
    assert sides == [(20, 20), (40, 40), (20, 40), (40, 80)]
    # In the square's first panel crops begin at 0, 2, 4, 6 and 8; the centre of the first lies between pixels 5 and 6.
    x, y = figure.axes[0].lines[0].get_data()
    assert sorted(set(x)) == sorted(set(y)) == [5.5, 7.5, 9.5, 11.5, 13.5] and len(x) == 25
    # The whole picture is twice as wide: 28 pixels are left to share out.
    assert sorted(set(figure.axes[2].lines[0].get_xdata())) == [5.5, 12.5, 19.5, 26.5, 33.5]
    first, last = figure.axes[2].patches
    assert (first.get_xy(), last.get_xy(), last.get_width()) == ((-0.5, -0.5), (27.5, 7.5), 12)
    # The square is the middle one, columns 10 to 29 of 40: grey is (row + column + 100) / 3.
    assert figure.axes[0].images[0].get_array()[0, 0] == pytest.approx(110 / 3)


def test_coverage_shows_shares_of_all_positions():
    figure = protocol_plots.coverage([(256, 256), (384, 512)])
    panels = [axes for axes in figure.axes if axes.images]
    titles = ["Q = 256, 25 positions", "Q = 384, 25 positions", "Q = 256, 4 positions", "Q = 384, 60 positions"]
    assert [axes.get_title() for axes in panels] == titles
    assert [axes.get_ylabel() for axes in panels] == ["multi-crop", "", "dense", ""]
    crops, _, dense, _ = (axes.images[0].get_array() for axes in panels)
    assert (crops[0, 0], crops[128, 128], crops[0, 8]) == (4, 100, 8)
    assert (dense[0, 0], dense[128, 128], dense[0, 128]) == (25, 100, 50)


def test_coverage_table_by_hand():
    found = protocol_plots.coverage_table([(512, 512)]).set_index("Evaluation")
    assert found["Q"].tolist() == [512, 512]
    assert found["Positions"].to_dict() == {"dense": "10 x 10 = 100", "multi-crop": "5 x 5 = 25"}
    # Pixel 256 lies in the crops from 72, 144 and 216, and in those from 64, 96, ..., 256.
    assert found["of them see the centre"].to_dict() == {"dense": 49, "multi-crop": 9}
    assert found["see the first corner"].to_dict() == {"dense": 1, "multi-crop": 1}
    assert found.iloc[:, -1].to_dict() == {"dense": "1.0", "multi-crop": f"{25 * 224**2 / 512**2:.1f}"}


def test_score_maps_by_hand(net_and_noise):
    model, images, experiment = net_and_noise
    found = pictures.at_scales(model, images, experiment, (256, 512))
    figure = protocol_plots.score_maps(model, images, found, [1])
    image, small, large = figure.axes[:3]
    assert [axes.get_title() for axes in (image, small, large)] == ["d", "Q = 256", "Q = 512"]
    grey, cells = large.images
    assert grey.get_array().shape == (128, 192)
    split, posteriors = found[512]
    expected = pictures.score_map(model, split.image(1), images.mean_rgb, 3)
    np.testing.assert_allclose(cells.get_array(), expected)
    # Each cell is drawn over the 32 pixels in the middle of what it sees: here they tile the image.
    assert cells.get_extent() == [-0.5, 191.5, 127.5, -0.5]
    assert (large.get_xlim(), large.get_ylim()) == ((-0.5, 191.5), (127.5, -0.5))
    assert [text.get_text() for text in large.texts] == [f"{100 * value:.0f}" for value in expected.ravel()]
    best = posteriors[1].argmax()
    assert large.get_xlabel().startswith(f"{'abcd'[best]} {100 * posteriors[1, best]:.0f} %\n")
    assert large.get_xlabel().count("\n") == 2


@pytest.mark.parametrize("columns, texts", [(100, 200), (101, 0)])
def test_a_map_of_many_cells_has_no_numbers(net_and_noise, columns, texts):
    """Two lines of cells; numbers in more than 200 could not be read and would take minutes to lay out."""
    model, _, _ = net_and_noise
    _, axes = plt.subplots()
    shown = protocol_plots._heat(axes, model, picture(64, 32 * columns), np.zeros((2, columns)))
    assert (len(axes.texts), shown.get_array().shape) == (texts, (2, columns))


def test_every_figure_is_drawn(net_and_noise):
    model, images, experiment = net_and_noise
    found = pictures.at_scales(model, images, experiment, (256,))
    image = picture(40, 60)
    for figure in (
        protocol_plots.training_scales(image, (40, 50), 30),
        protocol_plots.training_crops(pictures.alone(image), columns=1),
        protocol_plots.places_of_crops(image, (40, 50), 30),
        protocol_plots.coverage([(40, 60)], 32),
        protocol_plots.score_maps(model, images, found, [0, 1]),
    ):
        figure.canvas.draw()
        plt.close(figure)

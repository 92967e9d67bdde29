import numpy as np
import pandas as pd
import pytest
import torch

from vgglib import effective_field, results
from vgglib.configs import Config, Layer, config
from vgglib.data import shapes
from vgglib.effective_field import (
    central,
    influence,
    measure,
    measure_nets,
    outside_percent,
    pictures,
    shown,
    stacks,
    trained,
    untrained,
    width_px,
)
from vgglib.models import VGG, initialise
from vgglib.receptive_field import table

LAYERS = ("conv1_1", "conv2_1", "pool2", "conv5_2")


def one_channel(convs, weight=1.0):
    """3x3 convolutions of one channel with equal weights, then a pool; on positive images nothing is rectified away."""
    layers = [Layer(f"conv1_{number}", "conv", 1, 3, padding=1) for number in range(1, convs + 1)]
    net = Config("toy", ((*layers, Layer("pool1", "pool", 1, 2, 2)),), fully_connected=(1, 1))
    model = VGG(net, input_size=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(weight if name.endswith("weight") else 0)
    return model


def bright(count=2, side=32):
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(1)) + 1


def random_net(net="A", seed=0):
    return initialise(VGG(net, 10, width=1 / 32, input_size=64), "he-fan-out", seed)


def placed(square, start, side=32):
    """A square of numbers on a black image, normalised to sum 1."""
    image = np.zeros((side, side))
    image[start : start + len(square), start : start + len(square)] = square
    return image / image.sum()


def test_one_filter_shows_its_squared_weights():
    model = one_channel(1)
    weights = torch.arange(1.0, 28).reshape(1, 3, 3, 3)
    with torch.no_grad():
        model.features.conv1_1.weight.copy_(weights)
    found = influence(model, ["conv1_1"], bright())["conv1_1"]
    assert found.dtype == np.float64
    # Unit 16 of 32 sees pixels 15 to 17, each through the weight at its own place.
    np.testing.assert_allclose(found, placed(weights[0].square().mean(0).numpy(), 15), rtol=1e-6)


@pytest.mark.parametrize("convs", [2, 3, 6])
def test_a_stack_of_equal_weights_shows_the_number_of_paths(convs):
    paths = np.ones(1)
    for _ in range(convs):
        paths = np.convolve(paths, np.ones(3))
    found = influence(one_channel(convs, 0.5), [f"conv1_{convs}"], bright())[f"conv1_{convs}"]
    np.testing.assert_allclose(found, placed(np.outer(paths, paths) ** 2, 16 - convs), rtol=1e-5)


def test_a_pool_shows_the_largest_of_its_four():
    images = bright(1)
    images[0, :, 20, 20] = 50  # seen by conv units 19 to 21; unit 10 of the pool takes 20 and 21
    images[0, :, 21, 21] = 90
    images[0, :, 16, 16] = 50  # and unit 8, the central one, takes 16 and 17
    images[0, :, 18, 18] = 90  # seen by 17 to 19, so (17, 17) is the largest
    found = influence(one_channel(1), ["pool1"], images)["pool1"]
    np.testing.assert_allclose(found, placed(np.ones((3, 3)), 16), rtol=1e-6)


def test_the_map_is_a_mean_over_images_and_colours():
    model = random_net()
    draws = torch.randn((2, 2), generator=torch.Generator().manual_seed(5))  # two channels at this width
    images = bright(2, 64) - 1.5
    expected = np.zeros((64, 64))
    for image, weights in zip(images, draws, strict=True):
        pixels = image[None].double().requires_grad_()
        unit = model.double().features.conv1_1(pixels)[0, :, 32, 32]
        expected += torch.autograd.grad((unit * weights).sum(), pixels)[0][0].square().mean(0).numpy() / 2
    found = influence(model.float(), ["conv1_1"], images, seed=5)["conv1_1"]
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-4)


@pytest.mark.parametrize("net", ["A", "C", "A-LRN"])
def test_nothing_acts_from_outside_the_theoretical_field(net):
    model, images = random_net(net), pictures(2, 224)
    for layer, found in influence(model, LAYERS, images).items():
        field, unit = central(model.config, layer, 224)
        first, last = field.span(unit)
        assert found.sum() == pytest.approx(1)
        assert found[first : last + 1, first : last + 1].sum() == pytest.approx(1, abs=1e-12)
        assert width_px(found, field.centre(unit), 1) <= field.size


def test_a_seed_names_the_projection_and_layers_do_not_disturb_each_other():
    model, images = random_net(), pictures(2, 64)
    first = influence(model, LAYERS, images)
    np.testing.assert_array_equal(first["pool2"], influence(model, LAYERS, images, seed=0)["pool2"])
    np.testing.assert_array_equal(first["pool2"], influence(model, ["pool2"], images)["pool2"])
    assert not np.array_equal(first["pool2"], influence(model, ["pool2"], images, seed=1)["pool2"])


def test_measuring_leaves_model_and_images_as_they_are():
    model, images = random_net().train(), pictures(1, 64)
    before, weights = images.clone(), [parameter.clone() for parameter in model.parameters()]
    influence(model, LAYERS, images)
    assert model.training and not images.requires_grad
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    torch.testing.assert_close(list(model.parameters()), weights, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_cannot_be_measured_is_refused():
    model = random_net()
    for layer in ("conv6_1", "relu1_1", "fc6"):
        with pytest.raises(ValueError, match=f"unknown layer '{layer}': net A has conv1_1, pool1, conv2_1"):
            influence(model, ["pool1", layer], bright(1, 64))
    with pytest.raises(ValueError, match="64 x 96 pixels: take square ones"):
        influence(model, ["pool1"], torch.zeros(1, 3, 64, 96))
    with pytest.raises(ValueError, match=r"conv1_2 adds up to 0.*other images"):
        influence(one_channel(2, -1.0), ["conv1_2"], bright())  # the first layer is switched off
    with pytest.raises(ValueError, match=r"conv1_1 adds up to nan"):
        influence(one_channel(2, float("nan")), ["conv1_1"], bright())


def test_the_width_of_a_square_by_hand():
    point = np.zeros((7, 7))
    point[3, 3] = 1
    assert width_px(point, 3) == 1
    assert width_px(point, 3.5) == 2 and width_px(point, 2.5) == 2
    assert width_px(point, 0) == 7  # from the corner pixel, the square reaches as far to the other side
    rings = np.full((5, 5), 1 / 25)  # 1, 9 and 25 of 25 pixels lie in the squares of 1, 3 and 5
    sides = {0.01: 1, 1 / 25: 1, 0.05: 3, 9 / 25: 3, 0.37: 5, 1: 5}
    assert {share: width_px(rings, 2, share) for share in sides} == sides
    even = np.full((4, 4), 1 / 16)  # 4 and 16 of 16
    assert [width_px(even, 1.5, share) for share in (0.25, 0.26, 1)] == [2, 4, 4]


def test_the_width_counts_the_pixels_that_a_square_has_on_the_image():
    edge = np.zeros((6, 6))
    edge[0, 0] = edge[5, 5] = 0.5
    assert width_px(edge, 0, 0.5) == 1 and width_px(edge, 0, 0.6) == 11
    assert width_px(edge, 2.5, 0.1) == 6
    wide = np.zeros((6, 6))
    wide[2, 5] = 1  # distances count along the longer way
    assert width_px(wide, 2) == 7


def test_another_unit_of_the_map_does_not_matter():
    rings = np.full((5, 5), 3.0)
    assert width_px(rings, 2, 9 / 25) == 3


def test_a_centre_or_share_that_will_not_do_is_refused():
    for centre in (0.25, -1, 5):
        with pytest.raises(ValueError, match=f"the centre {centre} is no whole or half pixel of an image of 5"):
            width_px(np.ones((5, 5)), centre)
    for share in (0, 1.5):
        with pytest.raises(ValueError, match=f"share is {share}"):
            width_px(np.ones((5, 5)), 2, share)


def test_central_units():
    assert central(config("D"), "conv1_1", 224)[1] == 112
    field, unit = central(config("D"), "pool5", 224)
    assert (field.size, unit, field.centre(unit)) == (212, 3, 111.5)
    assert central(config("D"), "conv5_3", 56)[1] == 1  # of three


def test_a_table_of_measures_by_hand():
    uniform = np.full((224, 224), 224.0**-2)
    found = measure(config("E"), {"pool5": uniform, "conv1_1": uniform}, share=0.25).set_index("layer")
    assert found.loc["pool5"].tolist() == [268, 112, 112 / 268]
    assert found.loc["conv1_1", "size_px"] == 3


def test_nets_stand_in_one_table_with_their_maps():
    models = {"A": random_net(), "D": random_net("D")}
    lines, maps = measure_nets(models, pictures(1, 64), seed=3)
    assert list(lines.columns) == ["net", "layer", "size_px", "effective_px", "ratio"]
    assert lines["net"].tolist() == ["A"] * 5 + ["D"] * 5
    assert lines["layer"].tolist() == [f"pool{number}" for number in range(1, 6)] * 2
    assert lines.loc[lines["layer"] == "pool5", "size_px"].tolist() == [150, 212]
    np.testing.assert_array_equal(maps["D"]["pool2"], influence(models["D"], ["pool2"], pictures(1, 64), 3)["pool2"])


def test_readers_see_a_column_per_net_in_the_order_given():
    lines = [("E", "pool1", 6, 3), ("E", "pool2", 16, 12), ("A", "pool1", 4, 4), ("A", "pool2", 10, 8)]
    frame = pd.DataFrame(lines, columns=["net", "layer", "size_px", "effective_px"])
    found = shown(frame.assign(ratio=frame["effective_px"] / frame["size_px"]))
    assert list(found.columns) == ["Layer", "E", "A"]
    assert found.values.tolist() == [
        ["pool1", "3 of 6 (50 %)", "4 of 4 (100 %)"],
        ["pool2", "12 of 16 (75 %)", "8 of 10 (80 %)"],
    ]


def test_the_share_outside_of_what_a_unit_uses():
    whole = table(config("D"), 224).set_index("layer").loc["conv5_3"]
    assert outside_percent(config("D"), "conv5_3", 196, 224) == pytest.approx(whole["outside_percent"])
    # Units of conv1_1 use their own pixel alone; all are on the image. So are the first pool's four pixels.
    assert outside_percent(config("D"), "conv1_1", 1, 224) == 0
    assert outside_percent(config("D"), "pool1", 2, 224) == 0
    # Three units of 16 pixels stride, centred at 7.5, 23.5 and 39.5: of 32 pixels, 8 of the first lie below 0, and none
    # of the others beyond 55, the third's last.
    assert outside_percent(config("D"), "conv5_3", 32, 56) == pytest.approx(100 * (1 - ((24 + 32 + 32) / 96) ** 2))
    with pytest.raises(ValueError, match="a square of 31 pixels has not the centre of a field of 196: take an even"):
        outside_percent(config("D"), "conv5_3", 31, 56)
    with pytest.raises(ValueError, match="unknown layer 'fc6'"):
        outside_percent(config("D"), "fc6", 32, 224)


def test_pictures_are_centred_crops_around_grey():
    found = pictures(3, 48)
    assert found.shape == (3, 3, 48, 48) and found.dtype == torch.float32
    assert found.mean((0, 2, 3)).abs().max() < 1e-3
    whole = shapes.draw([1], [1], 48)[0].image
    top, left = (whole.shape[0] - 48) // 2, (whole.shape[1] - 48) // 2
    crop = torch.from_numpy(whole[top : top + 48, left : left + 48].copy()).permute(2, 0, 1).float()
    shift = crop - found[1]
    assert (shift - shift[:, :1, :1]).abs().max() < 1e-4
    assert pictures(25, 32).shape[0] == 25  # more than there are classes


def test_untrained_nets_are_those_that_a_training_begins_with():
    found = untrained("demo", ["A", "B-5x5"], seed=3)
    expected = initialise(VGG("A", width=1 / 8, input_size=56), "he-fan-out", 3)
    torch.testing.assert_close(found["A"].state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert found["B-5x5"].config.name == "B-5x5"


def test_only_nets_with_weights_are_trained(monkeypatch):
    assert trained("smoke", ["A", "B-5x5"]) == {}

    def load(store, run):
        assert store.root == results.default_root()
        assert (run.preset, run.experiment.scale_text, run.experiment.seed) == ("smoke", "256", 4)
        if run.experiment.net == "A":
            return "weights"
        raise effective_field.weights.NotTrained if run.experiment.net == "E" else ValueError("D was altered")

    monkeypatch.setattr(effective_field.weights, "load", load)
    assert trained("smoke", ["A", "E"], 4) == {"A": "weights"}
    with pytest.raises(ValueError, match="D was altered"):
        trained("smoke", ["A", "D"], 4)
    with pytest.raises(ValueError, match="unknown net 'F'"):
        trained("smoke", ["F"])


def test_stacks_by_hand():
    # Two layers: 1 2 3 2 1 paths along a side; three: 1 3 6 7 6 3 1.
    assert stacks(3).values.tolist() == [[1, 3, 1, 1], [2, 5, 9, 1], [3, 7, 49, 1]]

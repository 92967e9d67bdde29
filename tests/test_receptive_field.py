from dataclasses import replace

import numpy as np
import pytest
import torch

from vgglib.configs import Config, Layer, config
from vgglib.models import VGG
from vgglib.receptive_field import IMAGE, Field, fields, first_that_sees_all, outside_share, table

CONV3 = Layer("conv", "conv", 1, kernel=3, padding=1)
CONV5 = Layer("conv", "conv", 1, kernel=5, padding=2)
CONV7 = Layer("conv", "conv", 1, kernel=7, padding=3)
POOL = Layer("pool", "pool", 1, kernel=2, stride=2)


def through(*layers):
    field = IMAGE
    for layer in layers:
        field = field.through(layer)
    return field


def by_name(net, side=224):
    return {layer.name: field for layer, field, _ in fields(config(net), side)}


def test_stacks_of_3x3_see_what_one_large_filter_sees():
    assert through(CONV3, CONV3) == through(CONV5) == Field(5, 1, 2)
    assert through(CONV3, CONV3, CONV3) == through(CONV7) == Field(7, 1, 3)


def test_a_toy_net_by_hand():
    # conv: 3 pixels. pool: 4, two conv units a pixel apart. conv: three pool units two pixels apart, 4 + 2 * 2. pool:
    # two of those, 8 + 2. The first unit of the second conv begins at pool unit -1, which begins at pixel -2 - 1.
    assert through(CONV3) == Field(3, 1, 1)
    assert through(CONV3, POOL) == Field(4, 2, 1)
    assert through(CONV3, POOL, CONV3) == Field(8, 2, 3)
    assert through(CONV3, POOL, CONV3, POOL) == Field(10, 4, 3)


def test_a_1x1_layer_sees_no_further():
    assert through(CONV3, Layer("conv", "conv", 1)) == through(CONV3)


def test_a_unit_of_a_field():
    field = Field(size=10, stride=4, padding=3)
    assert field.span(0) == (-3, 6) and field.span(2) == (5, 14)
    assert field.centre(0) == 1.5 and field.centre(2) == 9.5
    assert field.outside(0, 12) == pytest.approx(3 / 10)
    assert field.outside(1, 12) == 0
    assert field.outside(2, 12) == pytest.approx(3 / 10)
    assert field.outside(0, 4) == pytest.approx(6 / 10)  # over both edges
    assert field.outside(9, 12) == 1
    assert [field.sees_all(0, side) for side in (7, 8)] == [True, False]
    assert not field.sees_all(1, 1)  # begins at pixel 1


def test_the_share_outside_is_that_of_squares():
    # Two units of three pixels on an image of two: each reaches one pixel over one edge, so 2 of 3 pixels a side are
    # inside, and 4 of 9 in the square.
    assert outside_share(Field(3, 1, 1), 2, 2) == pytest.approx(5 / 9)
    # On three pixels the middle unit reaches over no edge: inside are 2, 3 and 2 of 3 a side, 7/9 on average.
    assert outside_share(Field(3, 1, 1), 3, 3) == pytest.approx(1 - (7 / 9) ** 2)
    assert outside_share(IMAGE, 4, 4) == 0


@pytest.mark.parametrize("net, size", [("A", 150), ("D", 212)])
def test_the_last_pool_is_as_published(net, size):
    """Araujo et al. (2019), "Computing receptive fields of convolutional neural networks", for VGG-11 and VGG-16."""
    assert (by_name(net)["pool5"].size, by_name(net)["pool5"].stride) == (size, 32)


def test_the_head_sees_the_last_pool_whole():
    head = by_name("D")
    assert head["fc6"].size == 212 + 6 * 32 == 404
    assert head["fc6"] == head["fc7"] == head["fc8"]
    assert by_name("D", 56)["fc6"].size == 212  # one cell is left of 56 pixels


def test_b_with_5x5_layers_sees_what_b_sees():
    pairs = [layer.name for layer in config("B").layers if layer.name.endswith("_2") or layer.kind == "pool"]
    assert [by_name("B")[name] for name in pairs] == [
        field for name, field in by_name("B-5x5").items() if name[:2] != "fc"
    ]


def test_a_table_has_a_line_per_layer():
    found = table(config("D")).set_index("layer")
    assert list(found.index) == [layer.name for layer in config("D").layers] + ["fc6", "fc7", "fc8"]
    assert found.loc["conv1_2", ["units", "size_px", "stride_px", "padding_px", "centre_px"]].tolist() == [
        224,
        5,
        1,
        2,
        0,
    ]
    assert found.loc["pool1", ["units", "size_px", "stride_px", "padding_px", "centre_px"]].tolist() == [
        112,
        6,
        2,
        2,
        0.5,
    ]
    inside = (2 + 222 * 3 + 2) / (224 * 3)
    assert found.loc["conv1_1", "outside_percent"] == pytest.approx(100 * (1 - inside**2))
    assert found.loc["fc6", "outside_percent"] == pytest.approx(100 * (1 - (224 / 404) ** 2))


def test_rounding_down_in_the_pools_shows_in_the_units():
    found = table(config("A"), 56).set_index("layer")["units"]
    assert found[["pool1", "pool2", "pool3", "conv4_2", "pool4", "conv5_2", "pool5", "fc6"]].tolist() == [
        28, 14, 7, 7, 3, 3, 1, 1,
    ]  # fmt: skip


def test_who_sees_the_whole_image():
    # One pool and the head: on 4 pixels the pool's two units see 4 of them each, pixels -1 to 2 and 1 to 4.
    net = Config("toy", ((CONV3, POOL),))
    assert table(net, 4)["sees_all"].tolist() == ["none", "none", "all", "all", "all"]
    # Behind a second conv on 6 pixels: units of 8 pixels from -3, -1 and 1 on; only the middle one sees all.
    net = Config("toy", ((CONV3, POOL, replace(CONV3, name="second"), replace(POOL, name="last")),))
    found = table(net, 6)
    assert found["sees_all"].tolist()[:3] == ["none", "none", "centre"]
    assert first_that_sees_all(net, 6) == "second"
    assert first_that_sees_all(net, 6, "all") == "last"
    with pytest.raises(ValueError, match="unknown who 'edge': choose centre or all"):
        first_that_sees_all(net, 6, "edge")


def test_a_name_stands_for_the_net_called_so():
    assert list(fields("C", 64)) == list(fields(config("C"), 64))
    assert table("C", 64).equals(table(config("C"), 64))
    assert first_that_sees_all("C", 64) == first_that_sees_all(config("C"), 64)
    with pytest.raises(ValueError, match="unknown net 'F'"):
        table("F")


@pytest.mark.parametrize("size", [31, 0, -224])
def test_an_image_of_which_nothing_is_left_is_refused(size):
    with pytest.raises(ValueError, match=f"an image of {size} pixels leaves nothing.*take 32"):
        table(config("A"), size)


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("net", ["A", "C", "E"])
def test_a_bright_pixel_moves_the_units_whose_fields_hold_it(net, axis):
    """Black strips with one bright pixel each. Where all weights are 1 and all biases 0, every rectification passes
    everything and a maximum over positions is positive when one of them is: a unit is positive exactly if it sees the
    pixel.
    """
    length, breadth = (
        300,
        64,
    )  # 300 is odd after two pools, so rounding down matters; 64 is the crop, two cells of pool5
    model = VGG(net, num_classes=1, width=1 / 64, input_size=breadth).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(float(name.endswith("weight")))
    strips = torch.zeros(length, 3, length, breadth, dtype=torch.float64)
    strips[torch.arange(length), :, torch.arange(length), breadth // 2] = 1
    seen = {}

    def keep(name, units):
        """(pixel, unit) along the strip, any place across it."""
        units = units if axis == "rows" else units.transpose(2, 3)
        seen.setdefault(name, []).append((units > 0).any(1).any(2).numpy())

    for name, module in model.features.named_children():
        module.register_forward_hook(lambda _, __, out, name=name: keep(name, out))
    with torch.no_grad():
        for part in strips.split(20):  # small enough for the processor's cache
            keep("fc8", model.dense(part if axis == "rows" else part.transpose(2, 3)))

    units = {layer.name: units for layer, _, units in fields(model.config, length)}
    units["fc8"] = length // 32 - breadth // 32 + 1  # positions of the head
    assert len(seen) > 15
    for layer, field, _ in fields(model.config, breadth):
        if layer.name in ("fc6", "fc7"):
            continue  # see what fc8 sees
        spans = [field.span(unit) for unit in range(units[layer.name])]
        expected = np.array([[first <= pixel <= last for first, last in spans] for pixel in range(length)])
        assert np.array_equal(np.concatenate(seen[layer.name]), expected), layer.name

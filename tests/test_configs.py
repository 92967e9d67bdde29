import pytest
import torch

from vgglib import paper
from vgglib.configs import TABLE_1, as_config, config
from vgglib.models import VGG


@pytest.mark.parametrize("net", TABLE_1)
def test_pools_and_widths_follow_table_1(net):
    blocks = config(net).blocks
    assert [block[-1].name for block in blocks] == ["pool1", "pool2", "pool3", "pool4", "pool5"]
    assert [block[-1].channels for block in blocks] == [64, 128, 256, 512, 512]
    assert all(layer.padding == layer.kernel // 2 for layer in config(net).layers if layer.kind == "conv")


def test_table_2_of_the_paper():
    for net, row in paper.numbers("parameters").set_index("net").iterrows():
        with torch.device("meta"):
            count = sum(weight.numel() for weight in VGG(net).parameters())
        assert round(count / 1e6) == row["parameters_millions"], net
        assert config(net).weight_layers == row["weight_layers"], net


def test_c_adds_1x1_layers_where_d_has_3x3():
    c, d = config("C").layers, config("D").layers
    assert [layer.name for layer in c] == [layer.name for layer in d]
    assert [a.name for a, b in zip(c, d, strict=True) if a.kernel != b.kernel] == [
        "conv3_3",
        "conv4_3",
        "conv5_3",
    ]


def test_lrn_stands_after_the_first_convolution_only():
    assert [layer.name for layer in config("A-LRN").layers][:3] == ["conv1_1", "lrn1", "pool1"]
    assert sum(layer.kind == "lrn" for layer in config("A-LRN").layers) == 1


def test_b_5x5_has_half_of_the_convolutions_of_b():
    convs = {net: [layer for layer in config(net).layers if layer.kind == "conv"] for net in ("B", "B-5x5")}
    assert (len(convs["B"]), len(convs["B-5x5"])) == (10, 5)
    assert {layer.kernel for layer in convs["B-5x5"]} == {5}


def test_width_scales_every_layer():
    assert [block[-1].channels for block in config("D").scaled(0.25).blocks] == [16, 32, 64, 128, 128]
    assert config("D").scaled(0.25).fully_connected == (1024, 1024)


@pytest.mark.parametrize("width", [-1, 0, float("nan"), 1 / 3, 1e-3])
def test_a_width_that_gives_no_whole_channels_is_refused(width):
    with pytest.raises(ValueError, match="width"):
        config("A").scaled(width)


def test_an_unknown_net_is_refused_by_name():
    with pytest.raises(ValueError, match=r"unknown net 'F'.*A-LRN"):
        config("F")


def test_a_net_is_taken_by_name_or_as_it_is():
    half = config("A").scaled(0.5)
    assert as_config("A") == config("A") and as_config(half) is half
    for unknown in ("F", None):
        with pytest.raises(ValueError, match=f"unknown net {unknown!r}"):
            as_config(unknown)

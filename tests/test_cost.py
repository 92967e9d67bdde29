import pytest
import torch
from torch.nn import functional as F

from vgglib import cost, devices, paper
from vgglib.configs import TABLE_1, config
from vgglib.models import VGG


def test_the_first_and_last_layers_by_hand():
    table = cost.layers(config("D"), 224, 1000).set_index("layer")
    first = table.loc["conv1_1"]
    assert (first["parameters"], first["macs"]) == (64 * 3 * 9 + 64, 224**2 * 64 * 3 * 9)
    assert (first["activations"], first["block"], first["side"]) == (224**2 * 64, "1", 224)
    assert table.loc["pool5", ["side", "parameters", "macs", "activations"]].tolist() == [7, 0, 0, 49 * 512]
    assert table.loc["fc6", "parameters"] == 7 * 7 * 512 * 4096 + 4096
    assert table.loc["fc8", ["parameters", "macs"]].tolist() == [4096 * 1000 + 1000, 4096 * 1000]


@pytest.mark.parametrize("net", TABLE_1)
@pytest.mark.parametrize("classes, size, width", [(1000, 224, 1), (24, 56, 1 / 8)])
def test_parameters_are_those_of_the_model(net, classes, size, width):
    with torch.device("meta"):
        model = VGG(net, classes, width, size)
    assert cost.parameters(config(net).scaled(width), classes, size) == sum(p.numel() for p in model.parameters())


def test_table_2_of_the_paper():
    for row in paper.numbers("parameters").itertuples():
        assert round(cost.parameters(config(row.net)) / 1e6) == row.parameters_millions


def test_totals_are_sums_of_layers():
    net = config("C").scaled(0.25)
    table = cost.layers(net, 64, 10)
    assert cost.macs(net, 64, 10) == table["macs"].sum() and cost.parameters(net, 10, 64) == table["parameters"].sum()


def test_a_dense_pass_is_convolutions_on_the_image_and_a_head_at_each_cell():
    # Of 512 pixels the pools leave 16 cells a side, and a head of 7 x 7 has 10 x 10 places among them.
    sides, head = [512] * 2 + [256] * 2 + [128] * 3 + [64] * 3 + [32] * 3, 49 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    work = zip(sides, channels, channels[1:], strict=False)
    convolutions = sum(side**2 * 9 * before * after for side, before, after in work)
    assert cost.dense_macs("D", 512) == convolutions + 100 * head
    assert cost.dense_macs("D", 224) == cost.macs("D", 224)
    with pytest.raises(ValueError, match="an image of 200 pixels is smaller than the crop of 224: take 224 at least"):
        cost.dense_macs("D", 200)


def test_stacks_against_single_layers_as_in_section_2_3():
    three = cost.stacks(1).set_index("single").loc["7x7"]
    assert (three["stack_weights"], three["single_weights"], three["stack_rectifications"]) == (27, 49, 3)
    assert int(three["more_percent"]) == 81
    assert cost.stacks(512).set_index("single").loc["5x5", "stack_weights"] == 18 * 512**2


def test_crops_cost_so_many_times_the_pixels():
    assert cost.crops_over_dense((224,)) == 25
    assert cost.crops_over_dense((448,)) == 25 / 4
    assert cost.crops_over_dense((448,), aspect=2) == 25 / 8
    assert cost.crops_over_dense((224, 448)) == pytest.approx(2 * 25 / 5)


def test_memory_by_hand():
    net = config("A").scaled(1 / 64)  # channels 1, 2, 4, 8, 8; head 64, 64
    table = cost.memory(net, batch_size=2, image_size=32, num_classes=10, precision="fp32").set_index("part")
    weights = 4 * cost.parameters(net, 10, 32)
    assert table.loc["weights"].tolist() == [weights, weights] and table.loc["copies"].tolist() == [0, 0]
    assert table.loc["momentum"].tolist() == [weights, 0] and table.loc["gradients"].tolist() == [weights, 0]
    convs = 3 * 32**2 + 16**2 + (2 + 4) * 8**2 + (4 + 8) * 4**2 + (8 + 8) * 2**2
    pools = 32**2 + 2 * 16**2 + 4 * 8**2 + 8 * 4**2 + 8 * 2**2
    inputs = convs + pools + 8 + 64 + 64
    places = 16**2 + 2 * 8**2 + 4 * 4**2 + 8 * 2**2 + 8
    assert table.loc["activations", "training"] == 2 * (4 * inputs + 8 * places)
    assert table.loc["activations", "testing"] == 2 * 4 * (3 + 1) * 32**2


def test_in_bf16_each_weight_has_a_copy():
    net = config("A").scaled(1 / 64)
    table = cost.memory(net, batch_size=2, image_size=32, num_classes=10).set_index("part")
    weights = cost.parameters(net, 10, 32)
    assert table.loc["weights"].tolist() == [4 * weights] * 2 and table.loc["copies"].tolist() == [2 * weights] * 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("net", ["A", "A-LRN", "C", "B-5x5"])
def test_training_keeps_what_is_counted(net, precision, monkeypatch):
    """PyTorch itself says what it keeps for the backward pass."""
    monkeypatch.setattr(devices, "multiplies_bf16", lambda where: True)
    model, batch = VGG(net, 10, 1 / 8, 64), 4
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with devices.autocast(precision, torch.device("cpu")):
            scores = model(torch.randn(batch, 3, 64, 64))
        F.cross_entropy(scores.float(), torch.zeros(batch, dtype=torch.long))
    measured = sum(size for pointer, size in kept.items() if pointer not in weights)
    counted = cost.memory(config(net).scaled(1 / 8), batch, 64, 10, precision).set_index("part")["training"]
    assert counted["activations"] + counted["copies"] == pytest.approx(measured, rel=0.05)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="31 pixels leaves nothing"):
        cost.macs(config("A"), 31)
    with pytest.raises(ValueError, match="precision 'fp8'"):
        cost.memory(config("A"), 1, precision="fp8")
    with pytest.raises(ValueError, match="batch_size is 0"):
        cost.memory(config("A"), 0)
    with pytest.raises(ValueError, match="channels is 0"):
        cost.stacks(0)
    with pytest.raises(ValueError, match="num_classes is -5: it must be at least 1"):
        cost.parameters(config("D"), -5)
    with pytest.raises(ValueError, match="unknown net 'F'"):
        cost.parameters("F")


def test_a_name_counts_as_the_net_called_so():
    net = config("B-5x5")
    assert cost.layers("B-5x5", 64).equals(cost.layers(net, 64))
    assert cost.memory("B-5x5", 2, 64).equals(cost.memory(net, 2, 64))
    assert cost.parameters("B-5x5", 10, 64) == cost.parameters(net, 10, 64)
    assert cost.macs("B-5x5", 64) == cost.macs(net, 64)

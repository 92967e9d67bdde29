import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from vgglib.configs import GROWN_LAYERS, GROWN_NETS
from vgglib.models import VGG, grow, initialise, load_torchvision

TORCHVISION = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}


def small(net="A", classes=5, size=32, width=1 / 64, how="he-fan-out", **kwargs):
    return initialise(VGG(net, classes, width, size, **kwargs), how, seed=0).eval()


@pytest.mark.parametrize("net", TORCHVISION)
def test_shapes_equal_torchvisions_parameter_for_parameter(net):
    with torch.device("meta"):
        ours, theirs = VGG(net), torchvision.models.get_model(TORCHVISION[net])
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


@pytest.mark.parametrize("net", TORCHVISION)
def test_same_weights_give_torchvisions_logits(net):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(TORCHVISION[net], num_classes=10, init_weights=False).eval()
    ours = load_torchvision(VGG(net, num_classes=10), theirs.state_dict()).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("height, width", [(224, 224), (256, 300)])
def test_dense_average_equals_timms_output_from_the_same_weights(height, width):
    # timm's VGG carries its fully connected layers as convolutions and averages afterwards, as the paper does.
    ours = initialise(VGG("A", num_classes=10, width=1), "he-fan-out", seed=1).eval()
    theirs = timm.create_model("vgg11", pretrained=False, num_classes=10).eval()
    mine = [p.detach() for p in ours.parameters()]
    with torch.no_grad():
        for theirs_p, p in zip(theirs.parameters(), mine, strict=True):
            theirs_p.copy_(p.view(theirs_p.shape))
    x = torch.randn(1, 3, height, width) * 50
    with torch.inference_mode():
        torch.testing.assert_close(ours.dense(x).mean((2, 3)), theirs(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("net", ["A", "A-LRN", "C", "B-5x5"])
def test_dense_at_the_crop_equals_forward(net):
    model, x = small(net), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.dense(x)[:, :, 0, 0], model(x), rtol=1e-5, atol=1e-6)


def test_size_of_the_score_map():
    model = small(size=56)
    for side, cells in ((56, 1), (63, 1), (64, 2), (96, 3), (128, 4)):
        assert model.dense(torch.zeros(1, 3, side, 64)).shape == (1, 5, cells, 2)


def test_other_sizes_are_refused():
    model = small(size=56)
    with pytest.raises(ValueError, match=r"64 x 56.*exactly 56 x 56"):
        model(torch.zeros(1, 3, 64, 56))
    with pytest.raises(ValueError, match=r"40 x 64.*smaller than the crop of 56"):
        model.dense(torch.zeros(1, 3, 40, 64))
    with pytest.raises(ValueError, match="input_size 31"):
        VGG("A", input_size=31)


@pytest.mark.parametrize("shape", [(3, 56, 56), (1, 1, 56, 56), (1, 4, 56, 56), (1, 1, 3, 56, 56)])
def test_what_is_no_batch_of_rgb_pictures_is_refused(shape):
    model = small(size=56)
    for use in (model, model.dense):
        with pytest.raises(ValueError, match=rf"shape \({', '.join(map(str, shape))}\) was given.*x\[None\]"):
            use(torch.zeros(shape))


def test_a_net_of_no_classes_is_refused():
    with pytest.raises(ValueError, match="num_classes is 0: it must be at least 1"):
        small(classes=0)


def test_pooling_before_relu_changes_no_value():
    model, x = small("A-LRN"), torch.randn(2, 3, 32, 32) * 50
    layers = dict(model.features.named_children())
    assert list(layers)[:6] == ["conv1_1", "relu1_1", "lrn1", "pool1", "conv2_1", "pool2"]
    expected = x
    for layer in (layer for block in model.config.blocks for layer in block):  # in the paper's order
        expected = layers[layer.name](expected)
        expected = F.relu(expected) if layer.kind == "conv" else expected
    assert torch.equal(model.features(x), expected) and expected.std() > 0


@pytest.mark.parametrize(
    "how, conv_sd, fc_sd",
    [
        ("glorot", (2 / (9 * (32 + 64))) ** 0.5, (2 / 2048) ** 0.5),
        ("he-fan-out", (2 / (9 * 64)) ** 0.5, 0.02),
        ("gaussian", 0.01, 0.01),
    ],
)
def test_initialisation_has_the_stated_spread(how, conv_sd, fc_sd):
    layers = small(how=how, width=0.25).weighted
    assert layers["conv3_1"].weight.std().item() == pytest.approx(conv_sd, rel=0.03)
    assert layers["fc7"].weight.std().item() == pytest.approx(fc_sd, rel=0.03)
    assert all(not layer.bias.any() for layer in layers.values())


def test_initialisation_depends_on_the_seed_alone():
    first, second = small(), small()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = initialise(small(), "he-fan-out", seed=1)
    assert not torch.equal(first.weighted["conv1_1"].weight, other.weighted["conv1_1"].weight)
    with pytest.raises(ValueError, match="unknown initialisation 'he'"):
        initialise(small(), "he", seed=0)


def test_a_state_dict_of_another_net_is_refused_and_nothing_is_copied():
    model = small()
    before = model.weighted["conv1_1"].weight.clone()
    with pytest.raises(ValueError, match="13 weight layers and net A has 11"):
        load_torchvision(model, torchvision.models.vgg13(num_classes=2).state_dict())
    with pytest.raises(ValueError, match="where conv1_1 has"):
        load_torchvision(model, torchvision.models.vgg11(num_classes=2).state_dict())
    assert torch.equal(model.weighted["conv1_1"].weight, before)


@pytest.mark.parametrize("net", GROWN_NETS)
def test_a_deep_net_takes_seven_layers_of_a_and_keeps_the_others(net):
    donor, model, before = small(), initialise(small(net), "glorot", 1), initialise(small(net), "glorot", 1)
    grow(model, donor)
    for name, layer in model.weighted.items():
        expected = donor if name in GROWN_LAYERS else before
        assert torch.equal(layer.weight, expected.weighted[name].weight), name
        assert torch.equal(layer.bias, expected.weighted[name].bias), name


@pytest.mark.parametrize("net, donor", [("B-5x5", {}), ("D", {"width": 1 / 32}), ("D", {"classes": 6})])
def test_a_net_that_does_not_fit_is_refused_and_nothing_is_copied(net, donor):
    model = small(net)
    before = model.weighted["conv1_1"].weight.clone()
    with pytest.raises(ValueError, match=f"net {net} cannot start from net A: "):
        grow(model, small(**donor))
    assert torch.equal(model.weighted["conv1_1"].weight, before)


@torch.no_grad()
def copied(model, donor, identity):
    """`model` with the donor's weights where a layer has the same name, and the identity in the layers `identity`."""
    ours, theirs = model.weighted, donor.weighted
    for name, layer in ours.items():
        if name in identity:
            nn.init.dirac_(layer.weight)
            layer.bias.zero_()
        else:
            layer.load_state_dict(theirs[name].state_dict())
    return model


def test_c_with_its_one_by_one_layers_as_identity_is_b():
    b, x = small("B"), torch.randn(2, 3, 40, 48) * 50
    extra = [name for name, layer in small("C").weighted.items() if getattr(layer, "kernel_size", None) == (1, 1)]
    assert extra == ["conv3_3", "conv4_3", "conv5_3"]
    c = copied(small("C"), b, extra)
    # What they receive has been rectified already, so the identity and another rectification change nothing.
    assert torch.equal(c.dense(x), b.dense(x)) and b.dense(x).std() > 0


def test_e_grown_from_a_with_dirac_kernels_between_is_a():
    a, x = small("A"), torch.randn(2, 3, 40, 48) * 50
    extra = [name for name in small("E").weighted if name not in a.weighted]
    assert len(extra) == 8  # 19 layers and 11
    e = copied(grow(small("E"), a), a, extra)
    assert torch.equal(e.dense(x), a.dense(x)) and a.dense(x).std() > 0

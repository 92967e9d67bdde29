import pytest
import torch
from torch.nn import functional as F

from vgglib import devices
from vgglib.models import VGG, initialise
from vgglib.rounding import Bf16InFp32

CPU = torch.device("cpu")
FINE = 1 + 2**-8  # halfway between two bf16 numbers, 1 and 1 + 2^-7: rounds to the even one, 1


@pytest.fixture
def without_units(monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda where: False)


def test_operands_results_and_gradients_are_rounded_and_sums_are_not(without_units):
    x = torch.tensor([[FINE, 2**-8]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [FINE, 0.0]], requires_grad=True)
    bias = torch.tensor([2**-8, FINE], requires_grad=True)
    with devices.autocast("bf16", CPU):
        y = F.linear(x, weight, bias)
    # 1 + 2^-8 + 2^-8 needs the sum in fp32: rounded after each addition it would be 1.
    assert y.dtype == torch.bfloat16 and y.tolist() == [[1 + 2**-7, 2.0]]
    (y.float() * torch.tensor([[1.0, 2**-8]])).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]]  # of 1 + 2^-8, where FINE was rounded to 1, and 1
    assert weight.grad.tolist() == [[1.0, 2**-8], [2**-8, 2**-16]]
    assert bias.grad.tolist() == [1.0, 2**-8]


def test_a_sum_over_the_batch_is_rounded_once(without_units):
    x, weight = torch.ones(3, 1), torch.ones(1, 1, requires_grad=True)
    with devices.autocast("bf16", CPU):
        y = F.linear(x, weight)
    (y.float() * torch.tensor([[1.0], [2**-8], [2**-8]])).sum().backward()
    assert weight.grad.item() == 1 + 2**-7  # rounded after each addition it would be 1


def test_gradients_keep_the_precision_of_their_tensors(without_units):
    x, weight, bias = (torch.ones(1, 1, requires_grad=True) for _ in range(3))
    with devices.autocast("bf16", CPU):
        F.linear(x, weight, bias[0]).float().sum().backward()
    assert {each.grad.dtype for each in (x, weight, bias)} == {torch.float32}


@pytest.mark.parametrize("net", ["A-LRN", "C"])
def test_a_net_agrees_with_pytorchs_own_bf16(net, without_units):
    def pass_through(context):
        model = initialise(VGG(net, 5, 1 / 16, 32, dropout=0), "he-fan-out", seed=1)
        with context:
            scores = model(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))).float()
        F.cross_entropy(scores, torch.arange(8) % 5).backward()
        return scores.detach(), torch.cat([layer.weight.grad.flatten() for layer in model.weighted.values()])

    def apart(pair, reference):
        return [((ours - theirs).norm() / theirs.norm()).item() for ours, theirs in zip(pair, reference, strict=True)]

    theirs = pass_through(torch.autocast("cpu", torch.bfloat16))
    ours, exact = pass_through(devices.autocast("bf16", CPU)), pass_through(devices.autocast("fp32", CPU))
    # What is left is sums in another order, seldom enough to round to another bf16 number.
    for ours_apart, exact_apart in zip(apart(ours, theirs), apart(exact, theirs), strict=True):
        assert ours_apart < exact_apart / 2


def test_only_products_under_autocast_to_bf16_are_taken_over():
    x, weight = torch.full((1, 1), FINE), torch.ones(1, 1)
    with Bf16InFp32():
        with torch.autocast("cpu", torch.float16):
            assert F.linear(x, weight).item() == FINE
        assert F.linear(x, weight).item() == FINE
        with torch.autocast("cpu", torch.bfloat16):
            assert F.linear(input=x, weight=weight).item() == 1
            assert (x + 0).item() == FINE
            with torch.autocast("cpu", enabled=False):
                assert F.linear(x, weight).item() == FINE


def test_units_are_those_that_there_are(monkeypatch):
    for there in (False, True):
        monkeypatch.setattr(devices, "multiplies_bf16", lambda where, there=there: there)
        assert devices.units("fp32", CPU) == "fp32"
        assert devices.units("bf16", CPU) == ("bf16" if there else "fp32")
        assert devices.compiles(CPU, "bf16") == (there and devices.compiles(CPU))
        assert devices.precision("auto", CPU) == "bf16"
        assert devices.precision("auto", torch.device("cuda")) == ("bf16" if there else "fp32")

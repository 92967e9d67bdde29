import pytest
import torch
from torch import nn

from vgglib import lrn
from vgglib.lrn import LocalResponseNorm

PYTORCHS = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # which divides alpha by the five neighbours


def test_by_hand():
    # One pixel, six channels of 100: the sum of squares runs over 3, 4, 5, 5, 4, 3 channels.
    x = torch.full((1, 6, 1, 1), 100.0)
    scale = torch.tensor([2 + 1e-4 * n * 1e4 for n in (3, 4, 5, 5, 4, 3)])
    torch.testing.assert_close(LocalResponseNorm(6)(x).flatten(), 100 / scale**0.75)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("piece", [1, 100, lrn.PIECE])  # values: less than a place, some places, all of them
def test_values_and_gradients_are_pytorchs(layout, piece, monkeypatch):
    monkeypatch.setattr(lrn, "PIECE", piece)
    draws = torch.Generator().manual_seed(0)
    x = (torch.randn(2, 16, 5, 7, generator=draws) * 100).to(memory_format=layout)
    weights = torch.randn(2, 16, 5, 7, generator=draws)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    found, expected = LocalResponseNorm(16)(ours), PYTORCHS(theirs)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_squares_are_summed_in_fp32_under_autocast():
    # In bf16, which has eight binary digits, 2 + 1e-4 * 5 * 3^2 would be 2.
    x = torch.full((1, 9, 2, 2), 3.0)
    with torch.autocast("cpu", torch.bfloat16):
        normalised = LocalResponseNorm(9)(x)
    torch.testing.assert_close(normalised[0, 4, 0, 0], torch.tensor(3 * (2 + 1e-4 * 5 * 9) ** -0.75))
    assert LocalResponseNorm(9)(x.bfloat16()).dtype == torch.bfloat16
    assert LocalResponseNorm(9).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_no_image_is_no_error_and_the_input_stays_as_it_was():
    assert LocalResponseNorm(4)(torch.zeros(0, 4, 3, 3)).shape == (0, 4, 3, 3)
    x = torch.ones(1, 4, 2, 2, requires_grad=True)
    LocalResponseNorm(4)(x).sum().backward()
    assert torch.equal(x.detach(), torch.ones(1, 4, 2, 2))

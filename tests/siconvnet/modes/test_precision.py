"""Autocast around the fast forms, and the settings that they switch off and restore."""

import pytest
import torch
from torch.nn import functional as F

from siconvnet import MODELS, Conv2d, KanazawaConv2d, build_model


def loss_and_gradients(name: str, *, autocast: bool) -> tuple[torch.Tensor, dict]:
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=5)
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = F.cross_entropy(model(images), torch.tensor([1, 3]))
        loss.backward()
    return loss.detach(), {key: parameter.grad for key, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_under_autocast_and_answers_much_as_it_does_without(name: str):
    loss, gradients = loss_and_gradients(name, autocast=False)
    cast_loss, cast_gradients = loss_and_gradients(name, autocast=True)
    torch.testing.assert_close(cast_loss.float(), loss, rtol=0.01, atol=0)
    assert all(gradient.isfinite().all() for gradient in cast_gradients.values())
    # Earlier gradients go to winners, which maps in half precision may change.
    key = next(key for key in gradients if key.endswith("lin.bias"))
    torch.testing.assert_close(cast_gradients[key], gradients[key], rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: Conv2d(2, 3, 3).peak(x),
        lambda x: KanazawaConv2d(2, 3, 3)(x),
        lambda x: KanazawaConv2d(2, 3, 3).peak(x),
    ],
)
def test_a_fast_form_computes_half_precision_maps_in_float32_under_autocast(answer):
    x = torch.rand(2, 2, 12, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    grads = []
    for autocast in (True, False):
        torch.manual_seed(0)
        maps = x.to(torch.bfloat16 if autocast else torch.float32, copy=True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = answer(maps)
        assert found.dtype == torch.float32
        found.square().sum().backward()
        grads.append((found.detach(), maps.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[1][1].bfloat16())

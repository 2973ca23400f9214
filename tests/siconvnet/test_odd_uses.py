"""Uses of models and layers that PyTorch allows and a fast form has to mind."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from siconvnet import (
    MODELS,
    Conv3d,
    PooledSiConv2d,
    ScalePool,
    SESConv2d,
    SiConv2d,
    XuConv2d,
    build_model,
)
from siconvnet.baselines import KanazawaConv2d
from siconvnet.bases import steerable_basis
from siconvnet.layers import POOL_MODES

COMPILED_WHOLE = ("standard", "spatial_transform", "ensemble", "scale_select", "scale_select_k")
# One whose fast form has a gradient of its own for each way of pooling, and for each other layer.
STAGES: dict[str, Callable[[], nn.Module]] = {
    **{
        f"{mode} pooling": lambda mode=mode: PooledSiConv2d(
            SiConv2d(2, 3, num_scales=5, kernel_size=7), ScalePool(mode)
        )
        for mode in POOL_MODES
    },
    "all scales": lambda: SiConv2d(2, 3, num_scales=5, kernel_size=7),
    "kanazawa": lambda: KanazawaConv2d(2, 3, 7),
    "steerable": lambda: SESConv2d(2, 3, basis=steerable_basis("hermite"), lifting=True),
}


def model_and_images(name: str, **options: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=5, **options)
    return model, torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def maps(side: int = 24) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    return torch.rand(2, 2, side, side, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_may_be_checkpointed(name: str):
    torch.manual_seed(0)
    stage, x = STAGES[name]().double(), maps().requires_grad_()
    wanted = [x, *stage.parameters()]
    expected = torch.autograd.grad(stage(x).square().sum(), wanted)
    again = torch.autograd.grad(checkpoint(stage, x, use_reentrant=False).square().sum(), wanted)
    assert all(map(torch.equal, again, expected))


@pytest.mark.parametrize("name", MODELS)
def test_models_are_built_in_the_default_dtype(name: str):
    torch.set_default_dtype(torch.float64)
    try:
        model, images = model_and_images(name)
        model(images.double())
        logits = model.eval()(images.double())
    finally:
        torch.set_default_dtype(torch.float32)
    values = [value for value in model.buffers() if value.is_floating_point()]  # others count
    assert {value.dtype for value in (logits, *model.parameters(), *values)} == {torch.float64}
    same, _ = model_and_images(name)
    same.load_state_dict(model.state_dict())
    torch.testing.assert_close(logits.float(), same.eval()(images.float()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_models_are_built_on_the_default_device_and_spoil_no_later_one(name: str):
    with torch.device("meta"):
        model = build_model(name, in_channels=3, num_classes=5, kernel_size=7)
        model(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert all(x.device.type == "meta" and x.grad is not None for x in model.parameters())
    torch.manual_seed(0)
    here = build_model(name, in_channels=3, num_classes=5, kernel_size=7)
    assert here(torch.zeros(2, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_an_empty_batch_has_no_logits_and_gives_no_gradient(name: str, plain: bool):
    model, images = model_and_images(name, plain=plain)
    logits = model(images[:0])
    assert logits.shape == (0, 5)
    logits.sum().backward()
    assert not any(x.grad.any() for x in model.parameters() if x.grad is not None)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", MODELS)
def test_one_pixel_that_is_not_finite_makes_the_logits_of_its_image_nan(name: str, value: float):
    model, images = model_and_images(name)
    images[0, 0, 60, 33] = value
    assert model(images).isnan().all(1).tolist() == [True, False]


@pytest.mark.parametrize(
    "layer",
    [
        *(STAGES[f"{mode} pooling"] for mode in POOL_MODES),
        lambda: Conv3d(2, 3, 3),
        lambda: XuConv2d(2, 3, 7),
        lambda: SESConv2d(2, 3, basis=steerable_basis("hermite"), lifting=False),
    ],
)
def test_a_peak_is_not_finite_where_it_is_not_in_the_plain_form(layer: Callable[[], nn.Module]):
    torch.manual_seed(0)
    fast = layer()
    x = torch.rand(3, 2, 24, 24)
    if not isinstance(fast, PooledSiConv2d):
        scales = {Conv3d: 6, XuConv2d: 5, SESConv2d: 4}[type(fast)]
        x = torch.rand(3, 2, scales, 24, 24)
    x[1, ..., 20, 3] = torch.nan
    x[2, ..., 3, 20] = torch.inf
    found = fast.peak(x).isfinite()
    (fast.conv if isinstance(fast, PooledSiConv2d) else fast).plain = True
    assert torch.equal(found, fast.peak(x).isfinite())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("mode", POOL_MODES)
def test_what_is_chosen_where_a_pixel_is_not_finite_is_what_the_plain_form_chooses(
    mode: str, value: float
):
    torch.manual_seed(0)
    stage, x = STAGES[f"{mode} pooling"](), maps().float()
    x[1, 0, 20, 3] = value
    assert isinstance(stage, PooledSiConv2d)
    with torch.no_grad():
        _, chosen = stage(x, return_indices=True)
        stage.conv.plain = True
        _, expected = stage(x, return_indices=True)
    assert torch.equal(chosen, expected)


@pytest.mark.parametrize("name", ["standard", "xu", "kanazawa", "hermite"])
def test_vmap_and_functional_gradients_give_what_the_model_gives(name: str):
    model, images = model_and_images(name)
    parameters = dict(model.named_parameters())
    each = torch.vmap(lambda image: model(image[None])[0])(images)
    torch.testing.assert_close(each, model(images), rtol=1e-4, atol=1e-5)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, parameters, (images,)).square().sum()

    found = torch.func.grad(loss)(parameters)["lin.bias"]
    (expected,) = torch.autograd.grad(loss(parameters), parameters["lin.bias"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["energy_pool", "xu_corrected", "kanazawa", "disco"])
def test_an_exported_and_a_traced_model_give_what_the_model_gives(name: str):
    model, images = model_and_images(name)
    exported = torch.export.export(model.eval(), (images,)).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, that it is old and may not generalise
        traced = torch.jit.trace(model, (images,), check_trace=False)
    for other in (exported, traced):
        torch.testing.assert_close(other(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STAGES)
def test_a_gradient_of_a_gradient_is_right_in_the_plain_form_and_refused_by_name_else(name: str):
    torch.manual_seed(0)
    stage, x = STAGES[name]().double(), maps().requires_grad_()

    def twice(function: Callable[[Tensor], Tensor]) -> Tensor:
        (once,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return torch.autograd.grad(once.square().sum(), stage.parameters(), allow_unused=True)[0]

    with pytest.raises(RuntimeError, match=r"once; for a gradient of a gradient .* plain=True\."):
        twice(stage)
    (stage.conv if isinstance(stage, PooledSiConv2d) else stage).plain = True
    assert twice(stage).any()


@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_answers_and_one_whole_graph_works_or_says_what_would(name: str):
    model, images = model_and_images(name)
    twin = copy.deepcopy(model)
    whole = torch.compile(twin, fullgraph=True, backend="eager")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the compiler, on its own doings
        torch._dynamo.reset()
        if name in COMPILED_WHOLE:
            torch.testing.assert_close(whole(images), model(images), rtol=1e-4, atol=1e-5)
            return
        with pytest.raises(RuntimeError, match="build the layer or model with plain=True"):
            whole(images)
        torch._dynamo.reset()
        compiled = torch.compile(twin, backend="eager")
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_compiled_standard_network_learns_the_same():
    model, images = model_and_images("standard")
    torch._dynamo.reset()
    losses = []
    for network in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        loss = F.cross_entropy(network(images), torch.tensor([1, 3]))
        losses.append(torch.autograd.grad(loss, list(model.parameters())))
    for ours, theirs in zip(*losses, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)

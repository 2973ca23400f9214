"""Models on a device whose memory is not the host's, and on the device ``meta``, without values."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from lab.groups import in_groups
from lab.pretend_device import PretendDevice
from siconvnet import MODELS, build_model


def training_step(
    name: str, dtype: torch.dtype, device: PretendDevice | None = None
) -> dict[str, Tensor]:
    """The loss of two images, all gradients and what Adam makes of them, on the CPU."""
    torch.manual_seed(1)
    model = build_model(name, in_channels=1, num_classes=5).to(dtype)
    rng = torch.Generator().manual_seed(2)
    images = torch.rand(2, 1, 64, 64, generator=rng, dtype=dtype)
    images[:, :, :20] = images[:, :, :, 50:] = 0
    labels = torch.tensor([1, 3])
    if device:
        device.move(model)
        images, labels = device.tensor(images), device.tensor(labels)
        device.reset()
    # A large eps, so that rounding is not magnified where a gradient is all but zero.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=0.01)
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    found = {"loss": loss}
    found |= {f"{key}'s gradient": x.grad for key, x in model.named_parameters()}
    optimizer.step()
    found |= model.state_dict()
    values = device.values if device else lambda x: x
    return {key: values(x.detach()) for key, x in found.items()}


def launches(name: str) -> int:
    """How many operators a training step may launch: forward, loss and backward."""
    if name in ("pixel_pool", "conv3d"):
        return 150
    if name in ("xu", "xu_corrected"):
        return 200
    return 180 if name in ("slice_pool", "energy_pool") else 300


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_waits_for_no_answer_of_the_device_and_launches_little(name: str):
    torch.manual_seed(1)
    model = build_model(name, in_channels=3, num_classes=5)
    with PretendDevice() as device:
        device.move(model)
        images, labels = device.tensor(torch.rand(2, 3, 64, 64)), device.tensor(torch.arange(2))
        for _ in range(2):  # the first step makes the constants
            device.reset()
            F.cross_entropy(model(images), labels).backward()
        assert not device.synchronisations
        assert sum(device.launches.values()) <= launches(name)


@pytest.mark.parametrize("name", MODELS)
def test_no_shape_or_value_of_a_training_step_depends_on_data(name: str):
    model = build_model(name, in_channels=1, num_classes=5)
    images, labels = torch.rand(2, 1, 64, 64), torch.tensor([1, 3])
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, in_groups(1):
        there = fake.from_tensor(images), fake.from_tensor(labels)
        for part in model.modules():
            for key, weight in part.named_parameters(recurse=False):
                setattr(part, key, torch.nn.Parameter(fake.from_tensor(weight.detach())))
        optimizer = torch.optim.Adam(model.parameters())
        F.cross_entropy(model(there[0]), there[1]).backward()
        optimizer.step()
        assert all(weight.grad.shape == weight.shape for weight in model.parameters())
    # What is kept from one call to the next has values all the same.
    assert build_model(name, in_channels=1, num_classes=5)(images).isfinite().all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_on_another_device_what_it_learns_on_the_cpu(
    name: str, dtype: torch.dtype, tolerance: float
):
    with PretendDevice() as device:
        there = training_step(name, dtype, device)
    for key, expected in training_step(name, dtype).items():
        slack = tolerance * float(expected.abs().max())
        torch.testing.assert_close(there[key], expected, rtol=0, atol=slack, msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_on_the_device_meta_says_what_shape_its_logits_have(name: str):
    model = build_model(name, in_channels=1, num_classes=5).to("meta")
    assert model(torch.zeros(2, 1, 64, 64, device="meta")).shape == (2, 5)


def test_the_pretend_device_counts_what_the_host_waits_for_and_refuses_the_hosts_tensors():
    with PretendDevice() as device:
        x = device.tensor(torch.tensor([1.0, 0.0, 3.0]))
        doubled = x.view(3, 1).mul(2)
        assert device.launches == {"mul": 1}
        assert device.values(doubled).tolist() == [[2.0], [0.0], [6.0]]
        assert not device.synchronisations
        assert doubled.sum().item() == 8
        assert doubled[x > 0].tolist() == [[2.0], [6.0]]
        assert torch.equal(x, x.cpu().to(x.device))
        expected = {"_local_scalar_dense": 1, "index": 1, "_to_copy": 3, "equal": 1}
        assert device.synchronisations == expected
        with pytest.raises(RuntimeError, match="of the pretend device and of the CPU"):
            x.add_(torch.ones(3))


def test_the_pretend_device_knows_how_much_memory_was_held_at_once():
    with PretendDevice() as device:
        x = device.tensor(torch.zeros(1000))
        y = x[:500] + 1
        del x
        z = y + 1
        del y
        assert (device.bytes, device.peak_bytes) == (2000, 6000)
        del z
        assert device.bytes == 0

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from siconvnet.evaluation.accuracy import ScaleCounts
from siconvnet.fit import DivergedError, Images


class Brightness(nn.Module):
    """Logits that say class 1 for an image that is more than half white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack((0.5 - mean, mean - 0.5), dim=1)


def samples() -> tuple[Images, torch.Tensor]:
    levels = torch.tensor([0, 255, 200, 10, 255, 0, 30], dtype=torch.uint8)
    pixels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return Images(pixels, torch.tensor([0, 1, 0, 0, 1, 1, 0])), torch.tensor(
        [64, 17, 17, 64, 17, 30, 30]
    )


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_counts_and_losses_fall_to_the_scale_of_each_image(batch_size: int):
    images, scales = samples()
    counts = ScaleCounts(Brightness(), images, scales, batch_size=batch_size)
    assert list(counts)[-1] == 7
    result = counts.result()
    assert [(c.scale, c.total, c.correct) for c in result] == [(17, 3, 2), (30, 2, 1), (64, 2, 2)]
    losses = F.cross_entropy(
        Brightness()(images.images / 255), images.labels, reduction="none"
    ).double()
    for count in result:
        assert count.loss_sum == pytest.approx(losses[scales == count.scale].sum().item())


def test_a_pass_that_is_begun_again_counts_every_image_once():
    images, scales = samples()
    counts = ScaleCounts(Brightness(), images, scales, batch_size=3)
    list(counts)
    once = counts.result()
    next(iter(counts))
    list(counts)
    assert counts.result() == once


def test_a_loss_that_is_not_finite_is_an_error():
    images, scales = samples()
    counts = ScaleCounts(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), images, scales, batch_size=4
    )
    with torch.no_grad():
        counts._model[1].weight.fill_(torch.inf)
    list(counts)
    with pytest.raises(DivergedError):
        counts.result()

"""The trunk that the paper's models share, the two models that wrap it, and one of our own."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.modes.constants import constant
from siconvnet.modes.precision import above_autocast
from siconvnet.resample import bilinear
from siconvnet.selection import (
    CanonicalPatch,
    ContrastFloor,
    GaussianJetConv2d,
    ScaleSelection,
    Selection,
    SelectionJitter,
)
from siconvnet.stages import peak_of_stages


class LastStage(Protocol):
    """A module that can also give just the largest answer of each image and channel, (N, C)."""

    def __call__(self, x: Tensor) -> Any: ...

    def peak(self, x: Tensor) -> Tensor: ...


class TwoStageNetwork(nn.Module):
    """Classify images by the largest answers of two convolution stages.

    Both stages are modules that answer with maps when they are called.

    Shape:   whatever ``stage1`` takes -> (N, num_classes), logits.
    Learned: what the stages learn, and ``lin``, drawn after them.
    Source:  Altstidl et al. (2023), arXiv:2211.10288.

    >>> from siconvnet.baselines import Conv2d
    >>> network = TwoStageNetwork(Conv2d(1, 4, 3), Conv2d(4, 8, 3), features=8, num_classes=10)
    >>> network(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, stage1: nn.Module, stage2: LastStage, *, features: int, num_classes: int
    ) -> None:
        super().__init__()
        self.stage1 = stage1
        self.stage2 = stage2
        self.lin = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        # The maximum of what a ReLU lets through is the ReLU of the maximum.
        return self.lin(F.relu(peak_of_stages(self.stage1, self.stage2, x)))

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """What each stage answers, after its ReLU."""
        first = F.relu(self.stage1(x))
        return first, F.relu(self.stage2(first))


class PyramidEnsemble(nn.Module):
    """Average one network's logits over an image and its halved and quartered copies.

    Shape:   (N, C, H, W) -> (N, num_classes).
    Learned: what ``network`` learns.
    Source:  Altstidl et al. (2023), arXiv:2211.10288; the pyramid: Burt and Adelson (1983).
    """

    levels = 3

    def __init__(self, network: TwoStageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.network(level) for level in pyramid(x, self.levels)]).mean(dim=0)

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Not defined: each stage sees three sizes of the image."""
        raise ValueError(
            f"A stage of an ensemble has a map for each of {self.levels} image sizes, not one; "
            "ask model.network.feature_maps for the maps of one size."
        )


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """An image and its copies of half, a quarter, ... the size, each blurred before it shrinks."""
    kernel = blur_kernel(x.dtype, x.device).expand(x.shape[1], 1, 5, 5)
    images = [x]
    for _ in range(levels - 1):
        framed = F.pad(images[-1], (2, 2, 2, 2), mode="reflect")
        blurred = F.conv2d(framed, kernel, groups=x.shape[1])
        size = (blurred.shape[2] // 2, blurred.shape[3] // 2)
        images.append(bilinear(blurred, size, align_corners=False))
    return images


@constant
def blur_kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The 5 x 5 binomial kernel; cached and shared, do not write into it."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=dtype, device="cpu") / 16
    return torch.outer(row, row).to(device)


class SpatialTransformer(nn.Module):
    """Let a small network choose an affine view of the image before another classifies it.

    Shape:   (N, C, 64, 64) -> (N, num_classes).
    Learned: what ``network`` learns, and the localisation network, drawn after it; its last layer
             starts at the identity.
    Source:  Jaderberg et al. (2015), arXiv:1506.02025.
    """

    def __init__(self, network: TwoStageNetwork, in_channels: int) -> None:
        super().__init__()
        self.network = network
        self.localise = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 16 * 16, 16),
            nn.ReLU(),
            nn.Linear(16, 6),
        )
        view = self.localise[-1]
        assert isinstance(view, nn.Linear)
        nn.init.zeros_(view.weight)
        with torch.no_grad():
            view.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.warp(x))

    def warp(self, x: Tensor) -> Tensor:
        """The view of each image that the localisation network chose."""
        if len(x) == 0:  # affine_grid refuses an empty batch
            return x
        theta = self.localise(x).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Not defined: the stages' maps are not laid over the image, but over a view of it."""
        raise ValueError(
            "The maps of a spatial transformer are those of a warped image; ask "
            "model.network.feature_maps(model.warp(x)) for them."
        )


class ScaleSelectNetwork(nn.Module):
    """Find the most salient object by its own scale, then classify it in canonical size.

    Selection and patches do not learn and know no scale from training, so that an object of any
    size in the range of ``ScaleSelection`` looks the same to what learns: three layers of Gaussian
    jets, the largest answers in 4 x 4 tiles, a linear layer. The median of the image's rim is
    subtracted, and each patch divided by its root mean square and multiplied by the sign of its
    blob, so that replacing f by a f + b, a not 0, changes nothing. While training, selections are
    moved by as much as they err, another way in each step.

    With several ``floors`` a ``ContrastFloor`` makes a view of the image for each, and every view
    has a candidate of its own: where there is a background, the object is what stands out above a
    floor that is high enough. Each candidate is classified and has a learned score; the answer is
    the logarithm of their class probabilities' average, weighted by the softmax of the scores.

    An image with a pixel that is not finite has logits NaN and counts as black for the others, with
    which batch norm brings it together.

    Shape:   (N, C, side, side) -> (N, num_classes).
    Learned: the jets' weights, batch norms, ``lin`` and, with several floors, ``score``, ``prior``.
    Source:  ours; scale selection after Lindeberg (1998), jets after Lindeberg (2022).
    """

    widths, sigmas, steps = (16, 24, 32), (0.7, 1.0, 0.7), (1, 2, 1)
    patch_side, tiles = 32, 4
    jitter_place, jitter_octaves = 0.07, 0.17  # of the scale, of the scale's logarithm to base 2

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        side: int,
        floors: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__()
        self.floor = ContrastFloor(floors)
        self.selection = ScaleSelection(side, side)
        self.jitter = SelectionJitter(place=self.jitter_place, octaves=self.jitter_octaves)
        self.patch = CanonicalPatch(self.patch_side)
        layers: list[nn.Module] = []
        channels, patch_side = in_channels, self.patch_side
        for width, sigma, step in zip(self.widths, self.sigmas, self.steps, strict=True):
            jet = GaussianJetConv2d(channels, width, side=patch_side, sigma=sigma, step=step)
            layers += [jet, nn.BatchNorm2d(width), nn.ReLU()]
            channels, patch_side = width, jet.answer_side
        self.jets = nn.Sequential(*layers)
        features = channels * self.tiles**2
        self.lin = nn.Linear(features, num_classes)
        several = len(self.floor.floors) > 1
        self.score = nn.Linear(features, 1) if several else None
        self.prior = nn.Parameter(torch.zeros(len(self.floor.floors))) if several else None

    def forward(self, x: Tensor) -> Tensor:
        if not len(x):
            return self.lin(x.new_zeros(0, self.lin.in_features))
        nothing = x.detach().mul(0).sum(dim=(1, 2, 3))  # NaN where a pixel is not finite
        x = x.where((nothing == 0)[:, None, None, None], 0)
        patches, selection = self.patches(x)
        return self.classify(patches, selection.sign != 0) + nothing[:, None]

    def classify(self, patches: Tensor, found: Tensor) -> Tensor:
        """Logits of candidates (N, K, C, s, s); those not ``found`` (N, K) count for nothing."""
        n, k = patches.shape[:2]
        maps = self.jets(patches.flatten(0, 1))
        features = F.adaptive_max_pool2d(maps, self.tiles).flatten(1).view(n, k, -1)
        logits = self.lin(features)
        if self.score is None or self.prior is None:
            return logits[:, 0]
        score = self.score(features) + self.prior[:, None]
        score = score.masked_fill(~found[..., None], -1e4)
        return (score.log_softmax(dim=1) + logits.log_softmax(dim=2)).logsumexp(dim=1)

    @above_autocast
    def patches(self, x: Tensor) -> tuple[Tensor, Selection]:
        """What was selected, in canonical size and contrast, (N, K, C, s, s), and where, (N, K)."""
        views = self.views(x)
        selection = self.jitter(self.found(views))
        return self.cut(views, selection), selection

    def views(self, x: Tensor) -> Tensor:
        """Images without their ground, once for each floor, (N, K, C, side, side)."""
        rim = torch.cat([x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]], dim=-1)
        return self.floor(x - rim.median(dim=-1).values[..., None, None])

    def found(self, views: Tensor) -> Selection:
        """The blob of each view, (N, K)."""
        found = self.selection(views.flatten(0, 1))
        return Selection(*(part.view(views.shape[:2]) for part in found))

    def cut(self, views: Tensor, selection: Selection) -> Tensor:
        """Patches of bright objects whose root mean square is 1, (N, K, C, s, s)."""
        each = Selection(*(part.flatten()[:, None] for part in selection))
        patches = self.patch(views.flatten(0, 1), each).unflatten(0, views.shape[:2])[:, :, 0]
        contrast = patches.square().mean(dim=(2, 3, 4)).sqrt().clamp(min=1e-3)
        return patches * (selection.sign / contrast)[..., None, None, None]

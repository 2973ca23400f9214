"""The published protocol: how the 5,500 published runs were trained.

Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.3.
"""

from collections.abc import Mapping
from types import MappingProxyType

KERNEL_SIZE = 7  # pixels
INTERPOLATION = "bicubic"
RECIPE: Mapping[str, int] = MappingProxyType({"max_epochs": 200, "patience": 10, "batch_size": 16})


def recipe_text(recipe: Mapping[str, int], *, stops: bool = False) -> str:
    """A recipe as part of a sentence; ``stops`` if a loss that is not finite only ends a trial.

    >>> recipe_text(RECIPE)
    'at most 200 epochs, patience 10, batches of 16'
    """
    ending = ", reported up to a divergence" if stops else ""
    return (
        f"at most {recipe['max_epochs']} epochs, patience {recipe['patience']}, "
        f"batches of {recipe['batch_size']}{ending}"
    )


PROTOCOL = f"{recipe_text(RECIPE)}, kernels of {KERNEL_SIZE} pixels, {INTERPOLATION}"

"""The published results: their protocol, and where they are from.

Source: Altstidl et al. (2023), arXiv:2211.10288.
"""

from collections.abc import Mapping
from types import MappingProxyType

RECIPE: Mapping[str, int] = MappingProxyType(
    {"max_epochs": 200, "patience": 10, "batch_size": 16}  # section 4.3
)

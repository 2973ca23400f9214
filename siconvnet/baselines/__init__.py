"""Layers of prior work that the benchmark compares with, in their plain form.

Each is a stage of a network: calling it returns its maps; ``peak`` returns only the largest
response of each image and channel. Layers with several scales keep them on their own axis (S).
"""

from siconvnet.baselines.columns import XuConv2d
from siconvnet.baselines.convolution import Conv2d, Conv3d
from siconvnet.baselines.steerable import SESConv2d
from siconvnet.baselines.zoomed import KanazawaConv2d

__all__ = ["Conv2d", "Conv3d", "KanazawaConv2d", "SESConv2d", "XuConv2d"]

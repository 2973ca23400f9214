"""PyTorch's modes and the layers: precision, transformed programs, constants that outlive modes."""

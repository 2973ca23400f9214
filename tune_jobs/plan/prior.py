"""How long models take, and for how many epochs they train, before anything is measured: tables."""

from collections.abc import Mapping

# Milliseconds per image, in training and in inference, on one thread of an AMD EPYC with AVX-512,
# layers by compiled loops, kernels of 7 pixels, batches of 16; measured with `tune-jobs calibrate`
# in November 2026. Of other machines and of the PyTorch form, calibrations and records say more.
PRIOR_MS: Mapping[str, tuple[float, float]] = {
    "standard": (0.6, 0.5),
    "pixel_pool": (5.2, 3.6),
    "slice_pool": (4.4, 3.5),
    "energy_pool": (3.7, 2.7),
    "energy_pool_valid": (3.7, 2.7),
    "conv3d": (10.0, 8.9),
    "ensemble": (1.3, 0.9),
    "spatial_transform": (2.1, 0.8),
    "xu": (2.8, 2.5),
    "xu_corrected": (2.7, 2.6),
    "kanazawa": (2.4, 2.0),
    "hermite": (2.1, 1.2),
    "disco": (2.1, 1.3),
    "scale_select": (0.7, 0.4),
    "scale_select_k": (2.5, 1.4),
}

# The same of one trial that has this GPU to itself, by `tune-jobs calibrate --device cuda`.
PRIOR_GPU = "NVIDIA H200"
GPU_PRIOR_MS: Mapping[str, tuple[float, float]] = {
    "standard": (0.04, 0.018),
    "pixel_pool": (0.18, 0.13),
    "slice_pool": (0.18, 0.13),
    "energy_pool": (0.18, 0.13),
    "energy_pool_valid": (0.18, 0.12),
    "conv3d": (0.34, 0.26),
    "ensemble": (0.074, 0.03),
    "spatial_transform": (0.087, 0.022),
    "xu": (0.18, 0.082),
    "xu_corrected": (0.19, 0.096),
    "kanazawa": (0.24, 0.16),
    "hermite": (0.1, 0.05),
    "disco": (0.13, 0.05),
    "scale_select": (0.052, 0.036),
    "scale_select_k": (0.084, 0.044),
}

# The mean number of epochs of the 5,500 published runs, which stopped after 10 without a better
# validation accuracy: wall-clock time of a run over its time per epoch.
_DATASETS = ("emoji", "mnist", "trafficsign", "aerial")
PRIOR_EPOCHS: Mapping[str, Mapping[str, int]] = {
    model: dict(zip(_DATASETS, epochs, strict=True))
    for model, epochs in {
        "standard": (73, 47, 73, 76),
        "pixel_pool": (52, 44, 60, 53),
        "slice_pool": (47, 41, 68, 54),
        "energy_pool": (64, 71, 48, 49),
        "conv3d": (57, 52, 63, 55),
        "ensemble": (87, 45, 79, 67),
        "spatial_transform": (57, 34, 64, 58),
        "xu": (83, 43, 80, 59),
        "kanazawa": (98, 55, 98, 74),
        "hermite": (79, 45, 46, 55),
        "disco": (81, 45, 51, 56),
    }.items()
}
TYPICAL_EPOCHS = 61  # the mean of the table
PRIOR_PATIENCE = 10

"""The layers' searches and sparse gradients as compiled loops for CPUs."""

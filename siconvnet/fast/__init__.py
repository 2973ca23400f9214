"""How the layers are computed fast: functions over tensors, nothing learned or remembered."""

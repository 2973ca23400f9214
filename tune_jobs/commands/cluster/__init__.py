"""``tune-jobs cluster-init``, ``cluster-check`` and ``cluster-destroy``."""

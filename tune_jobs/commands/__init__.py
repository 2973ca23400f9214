"""The commands of ``tune-jobs``, one file each."""

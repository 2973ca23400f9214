"""The commands of ``stir-analysis``, a file each: its options, and what it prints."""

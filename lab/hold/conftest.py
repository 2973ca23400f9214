"""What is not looked through for examples: ``held`` registers a model."""

collect_ignore = ["held.py"]

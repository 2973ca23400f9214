"""Records on their way to the tools that people know: each target is a file."""

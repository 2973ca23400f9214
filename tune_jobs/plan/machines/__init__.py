"""Kinds of machine, and what a study would take on some of each."""

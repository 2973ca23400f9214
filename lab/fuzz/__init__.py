"""Inputs that no user would write, for everything that reads or shows what others wrote."""

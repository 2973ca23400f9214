"""Inputs that nobody would write, for everything that reads or shows what others wrote."""

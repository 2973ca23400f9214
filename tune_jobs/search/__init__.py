"""Searches: points drawn from distributions instead of crossed from lists."""

"""The relay core."""

"""Rows whose document went, or that a run empties its table of, and what goes along with them."""

"""Speed as ratios: the project against the least the same servers can do with the same data, side by side."""

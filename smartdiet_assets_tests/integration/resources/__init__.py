"""Tests of `smartdiet_assets.resources` on real servers."""

"""Tests of `smartdiet_assets.resources` without servers."""

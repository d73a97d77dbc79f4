"""Tests of `smartdiet compare` on real servers."""

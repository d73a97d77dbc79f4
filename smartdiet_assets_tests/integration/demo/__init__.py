"""Tests of `smartdiet_assets.demo` on real servers."""

"""Runs the plugin on its test cases outside WebAssembly: `.venv/bin/pytest`."""

import pytest
import sesame_native  # Before the plugin: it provides what a build generates.

import plugin


@pytest.mark.parametrize("case", sesame_native.cases())
def test_case(case):
    sesame_native.check(plugin, case)

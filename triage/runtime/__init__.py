"""Composition root: builds the adapters and use cases of a process from the settings.

No other package constructs an adapter (tests/unit/cli/test_composition.py).
"""

"""Offline model work: trains, exports, calibrates and evaluates model bundles.

This is the only package that imports torch, and no module of `triage` or `receivers` imports it. A
bundle folder (`triage.model.bundle`) is the only thing that passes from here to the worker. The
required packages are in the extra `export`.
"""

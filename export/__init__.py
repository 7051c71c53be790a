"""The offline model workshop: published checkpoints in, bundles for the worker out.

Rule: this is the only package that imports torch, and nothing in `triage` or `receivers` imports
it. What crosses over is a bundle's folder (`triage.model.bundle`), never a module. Its packages
come with the extra `export`.
"""

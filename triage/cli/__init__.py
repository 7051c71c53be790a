"""The command line: one module for each command. It parses options and prints results.

Decisions are made in `triage.pipeline`, and adapters are opened by `triage.runtime`.
"""

"""What the use cases need from outside, as Protocols: one module a port.

The use cases of `triage.pipeline` know these and nothing behind them. Every adapter and every fake
passes the contract suite of its port (tests/contract).
"""

"""The ports of the use cases as Protocols, one module per port.

The use cases of `triage.pipeline` know these and nothing behind them. Every adapter and every fake
passes the contract suite of its port (tests/contract).
"""

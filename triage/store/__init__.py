"""Persistent storage: the spool of instances, the ledger of states, and past cases."""

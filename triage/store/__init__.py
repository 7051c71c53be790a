"""Where instances (spool) and states (ledger) are kept."""

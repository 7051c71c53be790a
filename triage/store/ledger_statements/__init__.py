"""SQL steps of the ledger's transactions. Private to `triage.store`.

    studies      revisions, their state changes and their history; time conditions
    instances    received instances and incidents
    deliveries   products, deliveries and outages

Every function takes the connection of a running transaction. A state changes only in
`studies.move_study`, through `domain.study.advance`, which also adds a line of history.

Rows that will be written are read with a lock (SELECT ... FOR UPDATE; SQLite locks the whole
database), so the values read stay valid. A study is locked before its deliveries are counted or
changed: if two deliveries end at the same moment, the second transaction sees that the first ended.
"""

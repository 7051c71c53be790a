"""Receive instances over C-STORE and STOW-RS and from a watched folder, and pass them to Intake.

Each receiver is a package that declares a `ReceiverKind`; `registry` lists them and starts those
that are configured. A new receiver needs its package, a settings model in
`triage/config/receiver.py` and one line in `registry.RECEIVERS`.

    registry   the receivers, and how all of them are started and ended
    receiver   what a receiver declares, and what it gets
    c_store    DICOM Storage SCP, with storage commitment and announcements
    stow       STOW-RS over HTTP
    folder     a watched folder
    networks   addresses and networks of senders
    tls        TLS contexts and client certificates
"""

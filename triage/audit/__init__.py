"""The audit trail (DICOM PS3.15 A.5): told to a file or to an audit repository over syslog.

    message   an event as XML, and as a line of syslog
    spool     what waits to be sent, on disk
    file      lines in a file
    syslog    TLS, or TCP to this machine
    sender    one of all processes sends

Rule: an event is on disk before it is done with; a repository that is away holds nothing up.
"""

"""Bounds for connections of peers that have not identified themselves yet.

    waiting       which waiting connection is closed when there are too many
    listener      a listening socket that counts what it has accepted
    http_server   uvicorn on such a socket

Every listening port uses them: a peer without credentials costs one descriptor for a short time,
and makes room for newer connections, so that it cannot keep others from being served.
"""

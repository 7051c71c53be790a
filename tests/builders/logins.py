"""A login for the web pages (RFC 7617)."""

import base64

PASSWORD = "correct: horse"


def basic(name: str, password: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{name}:{password}'.encode()).decode()}"

"""Password hashes of the settings: scrypt (RFC 7914) with one salt per password.

    scrypt$15$8$1$<salt>$<hash>     log2 of the cost, block size, parallelism, hexadecimal

One check takes about a tenth of a second and 32 MB, for unknown user names too.
"""

import hashlib
import hmac
import secrets

COST, BLOCK, PARALLEL = 15, 8, 1
SALT_BYTES, HASH_BYTES = 16, 32
MEMORY_MARGIN = 2  #: memory limit of scrypt, as a multiple of its need


def hash_password(password: str) -> str:
    """Return the entry for the settings."""
    salt = secrets.token_bytes(SALT_BYTES)
    made = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${made.hex()}"


def verify_password(stored: str, password: str) -> bool:
    """Return whether a password matches an entry of the settings."""
    _, cost, block, parallel, salt, expected = stored.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=1 << cost,
        r=block,
        p=parallel,
        maxmem=MEMORY_MARGIN * 128 * block * ((1 << cost) + parallel),  # RFC 7914 section 2
        dklen=HASH_BYTES,
    )

"""Passwords as the settings have them: hashed with scrypt (RFC 7914), each with a salt of its own.

    scrypt$15$8$1$<salt>$<hash>     log2 of the cost, block size, parallelism, hexadecimal

Rule: a guess takes about a tenth of a second and 32 MB, whoever guesses; names that nobody has take
as long.
"""

import hashlib
import hmac
import secrets

COST, BLOCK, PARALLEL = 15, 8, 1
SALT_BYTES, HASH_BYTES = 16, 32
ROOM = 2  #: the memory that scrypt may take, in what it needs


def hash_password(password: str) -> str:
    """Return what the settings keep of a password."""
    salt = secrets.token_bytes(SALT_BYTES)
    made = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${made.hex()}"


def verify_password(kept: str, password: str) -> bool:
    """Tell whether a password is the one that is kept."""
    _, cost, block, parallel, salt, made = kept.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, bytes.fromhex(made))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=1 << cost,
        r=block,
        p=parallel,
        maxmem=ROOM * 128 * block * ((1 << cost) + parallel),  # RFC 7914 section 2
        dklen=HASH_BYTES,
    )

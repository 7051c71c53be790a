"""The signature of a bundle: Ed25519 (RFC 8032) over its manifest, which covers every file.

    manifest.sig    base64 of the 64 bytes of the signature

`python -m export sign` makes it. With `model.trusted_keys` only bundles with a signature of one of
these keys are opened. The package `cryptography` is needed for both (`cmr-triage[signatures]`).
"""

import base64
import binascii
import stat
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from triage.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "manifest.sig"
#: In front of what is signed, so that a signature of the key for another purpose is none of ours.
CONTEXT = b"cmr-triage bundle manifest 1\n"
SIGNATURE_FILE_BYTES_MAX = 1024
OTHERS = 0o077  #: the bits of a mode that give access to users other than the owner
ED25519 = "cryptography.hazmat.primitives.asymmetric.ed25519"


def require_signature(bundle: Path, manifest: bytes, trusted_keys: Sequence[str]) -> None:
    """Raise ConfigurationError unless a key of `trusted_keys` (base64) has signed a manifest."""
    ed25519, exceptions = _load(ED25519), _load("cryptography.exceptions")
    signature = _read_signature(bundle)
    for key in trusted_keys:
        public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        try:
            public.verify(signature, CONTEXT + manifest)
        except exceptions.InvalidSignature:
            continue
        return
    raise ConfigurationError(
        f"bundle {bundle}: {SIGNATURE} is no signature of this manifest by a key of "
        "model.trusted_keys: get the bundle again from the place that signs your bundles"
    )


def sign_manifest(bundle: Path, manifest: bytes, key: Path) -> str:
    """Write the signature of a manifest into its bundle; return the public key in base64.

    `key` is a PEM file as `openssl genpkey -algorithm ed25519` makes it.
    Raises ConfigurationError.
    """
    private = _read_private_key(key)
    text = base64.b64encode(private.sign(CONTEXT + manifest)).decode() + "\n"
    (bundle / SIGNATURE).write_text(text, encoding="ascii")
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _read_signature(bundle: Path) -> bytes:
    try:
        with (bundle / SIGNATURE).open("rb") as file:
            content = file.read(SIGNATURE_FILE_BYTES_MAX)
        return base64.b64decode(content.strip(), validate=True)
    except OSError:
        raise ConfigurationError(
            f"bundle {bundle} is not signed, and model.trusted_keys permits signed bundles alone: "
            "sign it with `python -m export sign`"
        ) from None
    except binascii.Error:
        return b""


def _read_private_key(path: Path) -> "Ed25519PrivateKey":
    ed25519, serialization = _load(ED25519), _load("cryptography.hazmat.primitives.serialization")
    try:
        if stat.S_IMODE(path.stat().st_mode) & OTHERS:
            raise ConfigurationError(f"{path} is open to other users: run chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigurationError(
            f"{path} is no Ed25519 key in PEM, or it is encrypted: "
            "`openssl genpkey -algorithm ed25519` makes one"
        )
    return cast("Ed25519PrivateKey", key)


def _load(module: str) -> ModuleType:
    """Return a module of the optional package; raise ConfigurationError if it is missing."""
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            "signatures (model.trusted_keys, `export sign`) need the package cryptography:"
            " pip install 'cmr-triage[signatures]'"
        ) from None

import pytest

from receivers.stow.access import StowAccess, StowAccessDenied, hash_token
from triage.config import StowSender

SECRET = "of 32 random bytes"
NONE: frozenset[str] = frozenset()
SENDERS = {
    "MR1": StowSender(token=hash_token(SECRET), addresses=("10.1.0.0/16",)),
    "MR1_HOME": StowSender(token=hash_token(SECRET), addresses=("10.2.3.4",)),
    "CERTIFIED": StowSender(certificates=("mr2.example",)),
    "BOTH": StowSender(token=hash_token("another"), certificates=("mr3.example",)),
}


@pytest.mark.parametrize(
    ("said", "address", "certificates", "name"),
    [
        (f"Bearer {SECRET}", "10.1.2.3", NONE, "MR1"),
        (f"bearer {SECRET}", "10.2.3.4", NONE, "MR1_HOME"),
        (f"Bearer {SECRET}", "::ffff:10.1.2.3", NONE, "MR1"),
        ("", "10.9.9.9", frozenset({"mr2.example"}), "CERTIFIED"),
        ("Bearer another", "10.9.9.9", frozenset({"mr3.example"}), "BOTH"),
    ],
)
def test_a_sender_with_its_token_certificate_and_address_is_admitted(
    said: str, address: str, certificates: frozenset[str], name: str
) -> None:
    assert StowAccess(SENDERS).admit(said, address, certificates) == name


@pytest.mark.parametrize(
    ("said", "address", "certificates", "status"),
    [
        ("", "10.1.2.3", NONE, 401),
        ("Bearer ", "10.1.2.3", NONE, 401),
        ("Bearer wrong", "10.1.2.3", NONE, 401),
        (f"Basic {SECRET}", "10.1.2.3", NONE, 401),
        (f"Bearer {hash_token(SECRET)}", "10.1.2.3", NONE, 401),
        ("Bearer another", "10.1.2.3", NONE, 401),
        ("", "10.1.2.3", frozenset({"mr3.example"}), 401),
        (f"Bearer {SECRET}", "10.3.0.1", NONE, 403),
    ],
)
def test_a_sender_without_its_credentials_is_rejected(
    said: str, address: str, certificates: frozenset[str], status: int
) -> None:
    with pytest.raises(StowAccessDenied) as turned:
        StowAccess(SENDERS).admit(said, address, certificates)
    assert turned.value.status == status
    assert SECRET not in str(turned.value)

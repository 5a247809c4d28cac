"""The certificates of servers, with a key of each kind, and of a client."""

from collections.abc import Iterable
from pathlib import Path

import trustme

from benchmarks.handshakes.sides import ECDSA

KEY_TYPES = {ECDSA: trustme.KeyType.ECDSA, "RSA-2048": trustme.KeyType.RSA}


def issue(folder: Path, kinds: Iterable[str] = (ECDSA,)) -> None:
    """Write the certificates: of a server with a key of each kind, of a client, and of the CA."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    made = {kind: ca.issue_cert("*.example.org", key_type=KEY_TYPES[kind]) for kind in kinds}
    made["client"] = ca.issue_cert("client@example.org", key_type=trustme.KeyType.ECDSA)
    for name, each in made.items():
        each.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))

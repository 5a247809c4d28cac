"""The certificates: the server's is ECDSA P-256; the clients' are RSA-2048, and so is their CA.

Where a CA signs with ECDSA, verifying a client takes longer, so that a smaller part of a full handshake is saved.
"""

from pathlib import Path

import trustme


def issue(folder: Path, new: int) -> None:
    """Write the certificates: of the server, of a client that is known, and of `new` others."""
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("*.example.org", key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem"))
    for number in range(new + 1):
        ca.issue_cert(f"client{number}@example.org", key_type=trustme.KeyType.RSA
                      ).private_key_and_cert_chain_pem.write_to_path(str(folder / f"client{number}.pem"))

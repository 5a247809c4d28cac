"""What is in PEM files."""

import re
import ssl
from pathlib import Path


def first_certificate(path: Path) -> bytes:
    """In DER."""
    found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", path.read_text(), re.DOTALL)
    assert found is not None, f"{path} has no certificate"
    return ssl.PEM_cert_to_DER_cert(found.group())

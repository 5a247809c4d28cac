import sys

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    from typing_extensions import Buffer

def hkdf_sha256(secret: Buffer, salt: Buffer, info: Buffer, length: int) -> bytes: ...

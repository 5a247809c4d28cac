import sys
from typing import Union

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    from typing_extensions import Buffer

def derive_session_id_context(*parts: Union[str, Buffer]) -> bytes: ...  # 32 bytes

import sys
from ssl import SSLContext
from typing import NamedTuple

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    from typing_extensions import Buffer

class Host(NamedTuple):
    context: SSLContext
    session_id_context: Buffer  # 1 to 32 bytes

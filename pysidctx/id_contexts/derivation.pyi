from typing import Union

from pysidctx._typing import Buffer

def derive_session_id_context(*parts: Union[str, Buffer]) -> bytes: ...  # 32 bytes

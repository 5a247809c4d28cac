from ssl import SSLContext

def context_fingerprint(ctx: SSLContext) -> bytes: ...  # 32 bytes

"""What a ClientHello says, what is kept for a handshake, and the callback that applies it."""

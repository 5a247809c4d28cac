"""Session: a TLS session outside of its connection, kept, written and resumed."""

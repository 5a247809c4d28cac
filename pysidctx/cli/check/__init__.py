"""The command `check`: an audit of a TLS server from outside."""

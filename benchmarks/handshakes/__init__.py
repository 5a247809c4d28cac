"""The cost of handshakes for a server, without sockets: its time and its instructions."""

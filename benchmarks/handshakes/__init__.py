"""What handshakes cost a server, without sockets: its time, and its instructions."""

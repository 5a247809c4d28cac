"""What a client's connection takes, full and resumed by ClientSessions, by ssl's sockets and by libraries."""

"""The ClientHello callback, which sets a connection's id context, and the data that it reads and stores."""

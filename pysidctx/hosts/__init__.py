"""HostMap: which SSLContext and which id context serve a connection, by the host that its ClientHello names."""

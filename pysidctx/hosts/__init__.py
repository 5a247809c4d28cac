"""HostMap: choose the SSLContext and the id context of a connection by the host name in its ClientHello."""

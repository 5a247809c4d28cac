/* The port of the peer of a socket. */
#ifndef PYSIDCTX_PEER_PORT_H
#define PYSIDCTX_PEER_PORT_H

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Returns 0 if `file` is not a connected socket of the internet's; errno stays as it was, because Python's `ssl` reads
 * it after the handshake. */
static inline unsigned int pysidctx_peer_port(int file)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_storage largest;
    } address;
    socklen_t length = sizeof(address);
    int error = errno;
    unsigned int port = 0;

    if (file >= 0 && getpeername(file, &address.any, &length) == 0) {
        if (address.any.sa_family == AF_INET)
            port = ntohs(address.ip4.sin_port);
        else if (address.any.sa_family == AF_INET6)
            port = ntohs(address.ip6.sin6_port);
    }
    errno = error;
    return port;
}

#endif

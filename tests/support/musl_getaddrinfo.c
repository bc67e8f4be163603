/* getaddrinfo of the C library it is linked with: the addresses of argv[1], a line each; 1 and a word when there are none. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

static const void *address_of(const struct addrinfo *info) {
    if (info->ai_family == AF_INET)
        return &((const struct sockaddr_in *)info->ai_addr)->sin_addr;
    return &((const struct sockaddr_in6 *)info->ai_addr)->sin6_addr;
}

int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char text[INET6_ADDRSTRLEN];
    int error;

    if (argc != 2) {
        fprintf(stderr, "usage: %s NAME\n", argv[0]);
        return 2;
    }
    error = getaddrinfo(argv[1], NULL, &hints, &found);
    if (error) {
        fprintf(stderr, "%s: %s\n", argv[1], gai_strerror(error));
        return 1;
    }
    for (struct addrinfo *info = found; info; info = info->ai_next)
        puts(inet_ntop(info->ai_family, address_of(info), text, sizeof text));
    freeaddrinfo(found);
    return 0;
}

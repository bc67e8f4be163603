/* The floor: the least a DNS server can cost on this machine.
 *
 * A blocking recvfrom/sendto loop on one UDP socket. Every query gets the same reply: its own id and
 * question, a header and one A record. Nothing is looked up, so what it costs is the kernel's part. The
 * benchmark also uses it as the upstream of forwarded queries.
 *
 * floor ADDRESS PORT [awake]    runs until a signal ends it
 *
 * `awake`: never sleep while waiting, only yield. That is for the upstream: what it costs to wake a process
 * on the same machine would be counted as the server's, and real upstreams are on other machines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* RFC 1035 4.1.1 */
#define HEADER 12
/* no UDP payload is larger; a query that fills it leaves no room for the answer and is dropped below */
#define DATAGRAM 65535

/* owner: a pointer to the question; A IN, TTL 5, 192.0.2.1 (RFC 5737) */
static const unsigned char answer[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 1};

/* Offset behind the first question, or 0 when the packet has none that is whole. */
static size_t question_end(const unsigned char *packet, size_t length) {
    size_t at = HEADER;
    while (at < length && packet[at] != 0 && packet[at] < 64)
        at += packet[at] + 1u;
    /* the root label, type and class */
    at += 5;
    return at <= length && packet[at - 5] == 0 ? at : 0;
}

/* Turns the query into its reply, in place; returns the length of the reply, 0 for none. */
static size_t reply(unsigned char *packet, size_t length) {
    /* opcode QUERY, recursion desired and available kept apart: QR AA RA, RCODE 0; QD 1, AN 1, NS 0, AR 0 */
    static const unsigned char counts[] = {0, 1, 0, 1, 0, 0, 0, 0};
    size_t end = question_end(packet, length);
    if (end == 0 || end + sizeof answer > DATAGRAM)
        return 0;
    packet[2] = 0x84 | (packet[2] & 0x01);
    packet[3] = 0x80;
    memcpy(packet + 4, counts, sizeof counts);
    memcpy(packet + end, answer, sizeof answer);
    return end + sizeof answer;
}

static int bound_socket(const char *address, const char *port) {
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &local.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&local, sizeof local) < 0) {
        perror("floor: bind");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    static unsigned char packet[DATAGRAM];
    if (argc < 3) {
        fprintf(stderr, "usage: floor ADDRESS PORT [awake]\n");
        return 2;
    }
    int fd = bound_socket(argv[1], argv[2]);
    int flags = argc > 3 ? MSG_DONTWAIT : 0;
    for (;;) {
        struct sockaddr_storage client;
        socklen_t size = sizeof client;
        ssize_t length = recvfrom(fd, packet, sizeof packet, flags, (struct sockaddr *)&client, &size);
        if (length < 0 && errno == EAGAIN) {
            sched_yield();
            continue;
        }
        size_t filled = length < HEADER ? 0 : reply(packet, (size_t)length);
        if (filled > 0)
            sendto(fd, packet, filled, 0, (struct sockaddr *)&client, size);
    }
}

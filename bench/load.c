/* The load generator: a closed loop over connected sockets, one JSON line at the end.
 *
 * Reads a file of queries (each with the two-byte length of RFC 1035 4.2.2 in front), sends them in turn,
 * again and again, and keeps at most WINDOW of them unanswered. A query is never sent twice: without a reply
 * within the timeout it is lost. A reply belongs to the query whose id it has, in time, else it is a stray; one
 * that does not repeat the question of that query, spelling included, is counted as mismatched as well.
 */
#define _GNU_SOURCE /* sched_yield, MSG_TRUNC */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER 12
#define SECOND 1000000000ull
/* how often timeouts are looked for */
#define TICK (SECOND / 100)
/* sockets: what one poll() handles cheaply; slots: the low byte of an id is its slot */
#define MAX_SOCKETS 64
#define MAX_SLOTS 256
/* a query with a full name, an OPT and its options is under 350 bytes */
#define MAX_QUERY 512
/* one TCP message with its length */
#define MAX_MESSAGE (2 + 65535)
/* replies taken from one socket at a time, and how much of each is looked at: header and question */
#define BATCH 32
#define HEAD 512

static const char usage[] =
    "usage: load -p PORT -f FILE (-n QUERIES | -d SECONDS) [options]\n"
    "  -a ADDRESS   of the server, IPv4 (127.0.0.1)\n"
    "  -w WINDOW    unanswered queries at most, over all sockets (64)\n"
    "  -s SOCKETS   (8)\n"
    "  -r RATE      queries a second, evenly (as fast as replies come)\n"
    "  -o MS        timeout of a query (1000)\n"
    "  -u COUNT     every query a new name: the first eight bytes of the first label count up in hex from COUNT\n"
    "  -c           random case of the letters of the name (0x20)\n"
    "  -k           a random cookie: the last eight bytes of the packet are its place\n"
    "  -t           TCP, pipelined\n";

struct query {
    const uint8_t *bytes;
    size_t length, question_end;
};

struct slot {
    /* 0: free */
    uint64_t sent_at;
    size_t question_end;
    uint16_t id;
    /* two bytes of TCP length, then the packet */
    uint8_t frame[2 + MAX_QUERY];
    size_t length;
};

struct peer {
    int fd;
    struct slot slots[MAX_SLOTS];
    uint8_t free[MAX_SLOTS];
    size_t free_count;
    uint8_t *pending;
    size_t pending_length;
};

static struct {
    const char *address, *file;
    int port;
    uint64_t queries, duration, rate, timeout, unique;
    size_t window, sockets;
    bool count_names, mix_case, cookie, tcp;
} options = {.address = "127.0.0.1", .window = 64, .sockets = 8, .timeout = SECOND};

static struct {
    uint64_t sent, received, lost, stray, mismatched, answers, truncated, rcodes[16];
} totals;

static struct query *queries;
static size_t query_count;
static struct peer *peers;
static uint64_t started, now, last_reply, random_state = 88172645463325252ull;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t clock_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* xorshift64 (Marsaglia 2003): a few cycles, and the same load in every run */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- the queries ---- */

static size_t question_end(const uint8_t *packet, size_t length) {
    size_t at = HEADER;
    while (at < length && packet[at] != 0)
        at += packet[at] + 1u;
    return at + 5 <= length ? at + 5 : 0;
}

static void add_query(const uint8_t *bytes, size_t length) {
    size_t end = question_end(bytes, length);
    if (length > MAX_QUERY || end == 0)
        die("%s: packet %zu is no query of at most %d bytes", options.file, query_count + 1, MAX_QUERY);
    if (options.count_names && bytes[HEADER] < 8)
        die("%s: packet %zu: -u needs a first label of eight bytes or more", options.file, query_count + 1);
    queries = realloc(queries, (query_count + 1) * sizeof *queries);
    queries[query_count++] = (struct query){bytes, length, end};
}

static void read_queries(void) {
    FILE *file = fopen(options.file, "rb");
    uint8_t size[2];
    if (file == NULL)
        die("%s: %s", options.file, strerror(errno));
    while (fread(size, 1, 2, file) == 2) {
        size_t length = (size_t)(size[0] << 8 | size[1]);
        uint8_t *bytes = malloc(length + 1);
        if (fread(bytes, 1, length, file) != length)
            die("%s: packet %zu is cut short", options.file, query_count + 1);
        add_query(bytes, length);
    }
    fclose(file);
    if (query_count == 0)
        die("%s: no queries", options.file);
}

static void mix_case(uint8_t *name) {
    uint64_t bits = 0;
    for (size_t label = name[0], at = 1, drawn = 0; label != 0; label = name[at++])
        for (size_t end = at + label; at < end; at++, drawn++, bits >>= 1) {
            if (drawn % 64 == 0)
                bits = next_random();
            if (isalpha(name[at]) && bits & 1)
                name[at] ^= 0x20;
        }
}

static void count_name(uint8_t *label, uint64_t count) {
    for (int digit = 7; digit >= 0; digit--, count >>= 4)
        label[digit] = (uint8_t)"0123456789abcdef"[count & 15];
}

/* Writes the next query into the slot. */
static void prepare(struct slot *slot) {
    const struct query *query = &queries[totals.sent % query_count];
    uint8_t *packet = slot->frame + 2;
    memcpy(packet, query->bytes, query->length);
    /* low byte: the slot, which stays; high byte: counts its uses, so that a late reply is not taken for a new one */
    slot->id = (uint16_t)(slot->id + 256);
    packet[0] = (uint8_t)(slot->id >> 8);
    packet[1] = (uint8_t)slot->id;
    slot->frame[0] = (uint8_t)(query->length >> 8);
    slot->frame[1] = (uint8_t)query->length;
    if (options.count_names)
        count_name(packet + HEADER + 1, options.unique + totals.sent);
    if (options.mix_case)
        mix_case(packet + HEADER);
    if (options.cookie) {
        uint64_t cookie = next_random();
        memcpy(packet + query->length - sizeof cookie, &cookie, sizeof cookie);
    }
    slot->length = query->length;
    slot->question_end = query->question_end;
    slot->sent_at = now;
    totals.sent++;
}

/* ---- sending ---- */

static bool finished(void) {
    return options.queries > 0 ? totals.sent >= options.queries : now - started >= options.duration;
}

/* How many queries may leave now. */
static uint64_t due(void) {
    uint64_t limit = options.queries > 0 ? options.queries : UINT64_MAX;
    if (finished())
        return 0;
    if (options.rate > 0) {
        uint64_t allowed = (now - started) * options.rate / SECOND + 1;
        limit = allowed < limit ? allowed : limit;
    }
    return limit > totals.sent ? limit - totals.sent : 0;
}

/* One call for each datagram, as from many clients (and as dnsperf does): a batch of them would be delivered in one
 * piece, which no network does, and would make whoever receives look cheaper than it is. */
static void send_datagrams(struct peer *peer, struct slot **filled, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        /* a refusal belongs to an earlier query, which its timeout counts; the next call sends */
        while (send(peer->fd, filled[i]->frame + 2, filled[i]->length, 0) < 0)
            if (errno != EINTR && errno != ECONNREFUSED)
                die("send: %s", strerror(errno));
    }
}

static void send_stream(struct peer *peer, struct slot **filled, unsigned count) {
    static uint8_t frames[MAX_SLOTS * (2 + MAX_QUERY)];
    size_t length = 0, done = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(frames + length, filled[i]->frame, filled[i]->length + 2);
        length += filled[i]->length + 2;
    }
    while (done < length) {
        ssize_t sent = send(peer->fd, frames + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            die("send: %s", strerror(errno));
        done += sent > 0 ? (size_t)sent : 0;
    }
}

/* Sends what is due and fits into the free slots of the peer, at once. */
static void fill(struct peer *peer) {
    struct slot *filled[MAX_SLOTS];
    uint64_t allowed = peer->free_count > 0 ? due() : 0;
    unsigned count = 0;
    while (count < allowed && peer->free_count > 0) {
        filled[count] = &peer->slots[peer->free[--peer->free_count]];
        prepare(filled[count++]);
    }
    if (count > 0)
        (options.tcp ? send_stream : send_datagrams)(peer, filled, count);
}

/* ---- receiving ---- */

static void release(struct peer *peer, struct slot *slot) {
    slot->sent_at = 0;
    peer->free[peer->free_count++] = (uint8_t)slot->id;
}

/* Counts one reply, of which at least the header and the question are in `packet`. */
static void take(struct peer *peer, const uint8_t *packet, size_t length) {
    struct slot *slot = length < HEADER ? NULL : &peer->slots[packet[1]];
    if (slot == NULL || slot->sent_at == 0 || slot->id != (packet[0] << 8 | packet[1])) {
        totals.stray++;
        return;
    }
    if (length < slot->question_end || !(packet[2] & 0x80) ||
        memcmp(packet + HEADER, slot->frame + 2 + HEADER, slot->question_end - HEADER) != 0)
        totals.mismatched++;
    totals.received++;
    totals.rcodes[packet[3] & 15]++;
    /* how many records still fit into a truncated reply is the server's choice */
    if (packet[2] & 0x02)
        totals.truncated++;
    else
        totals.answers += (uint64_t)(packet[6] << 8 | packet[7]);
    last_reply = now;
    release(peer, slot);
}

static void receive_datagrams(struct peer *peer) {
    static uint8_t head[HEAD];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = recv(peer->fd, head, HEAD, MSG_DONTWAIT | MSG_TRUNC);
        if (length < 0) {
            /* refused: nobody listens (yet, or any more); the timeout counts the loss */
            if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
                die("receive: %s", strerror(errno));
            return;
        }
        take(peer, head, (size_t)length);
    }
}

static void receive_stream(struct peer *peer) {
    size_t at = 0;
    ssize_t count = recv(peer->fd, peer->pending + peer->pending_length, MAX_MESSAGE - peer->pending_length, 0);
    if (count <= 0)
        die("receive: %s", count == 0 ? "the server closed the connection" : strerror(errno));
    peer->pending_length += (size_t)count;
    while (peer->pending_length - at >= 2) {
        size_t length = (size_t)(peer->pending[at] << 8 | peer->pending[at + 1]);
        if (peer->pending_length - at < length + 2)
            break;
        take(peer, peer->pending + at + 2, length);
        at += length + 2;
    }
    peer->pending_length -= at;
    memmove(peer->pending, peer->pending + at, peer->pending_length);
}

static uint64_t outstanding(void) {
    return totals.sent - totals.received - totals.lost;
}

static void expire(void) {
    for (size_t i = 0; i < options.sockets; i++)
        for (size_t slot = 0; slot < options.window / options.sockets; slot++)
            if (peers[i].slots[slot].sent_at > 0 && now - peers[i].slots[slot].sent_at > options.timeout) {
                totals.lost++;
                release(&peers[i], &peers[i].slots[slot]);
            }
}

/* ---- the run ---- */

static void connect_peer(struct peer *peer) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    int on = 1;
    if (inet_pton(AF_INET, options.address, &server.sin_addr) != 1)
        die("%s is no IPv4 address", options.address);
    peer->fd = socket(AF_INET, options.tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&server, sizeof server) < 0)
        die("connect to %s port %d: %s", options.address, options.port, strerror(errno));
    if (options.tcp) {
        setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peer->pending = malloc(MAX_MESSAGE);
    }
    while (peer->free_count < options.window / options.sockets) {
        peer->slots[peer->free_count].id = (uint16_t)peer->free_count;
        peer->free[peer->free_count] = (uint8_t)peer->free_count;
        peer->free_count++;
    }
}

static void run(void) {
    struct pollfd polled[MAX_SOCKETS];
    uint64_t checked = started = now = last_reply = clock_ns();
    for (size_t i = 0; i < options.sockets; i++)
        polled[i] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
    for (size_t turn = 0; !finished() || outstanding() > 0; turn++) {
        for (size_t i = 0; i < options.sockets; i++)
            fill(&peers[(turn + i) % options.sockets]);
        /* Never sleep: what it costs to wake this process would be counted as the server's, and clients are on other
         * machines. Yielding lets an upstream on the same CPU work. */
        if (poll(polled, options.sockets, 0) == 0)
            sched_yield();
        now = clock_ns();
        for (size_t i = 0; i < options.sockets; i++)
            if (polled[i].revents != 0)
                (options.tcp ? receive_stream : receive_datagrams)(&peers[i]);
        if (now - checked > TICK) {
            expire();
            checked = now;
        }
    }
}

static void report(void) {
    printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"stray\": %lu, \"mismatched\": %lu, ", totals.sent,
           totals.received, totals.lost, totals.stray, totals.mismatched);
    printf("\"answers\": %lu, \"truncated\": %lu, \"seconds\": %.6f, \"rcodes\": {", totals.answers,
           totals.truncated, (double)(last_reply - started) / SECOND);
    const char *separator = "";
    for (int rcode = 0; rcode < 16; rcode++)
        if (totals.rcodes[rcode] > 0) {
            printf("%s\"%d\": %lu", separator, rcode, totals.rcodes[rcode]);
            separator = ", ";
        }
    puts("}}");
}

static void read_options(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "a:p:f:n:d:w:s:r:o:u:ckt")) != -1;)
        switch (option) {
        case 'a': options.address = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'f': options.file = optarg; break;
        case 'n': options.queries = strtoull(optarg, NULL, 10); break;
        case 'd': options.duration = (uint64_t)(atof(optarg) * SECOND); break;
        case 'w': options.window = strtoull(optarg, NULL, 10); break;
        case 's': options.sockets = strtoull(optarg, NULL, 10); break;
        case 'r': options.rate = strtoull(optarg, NULL, 10); break;
        case 'o': options.timeout = strtoull(optarg, NULL, 10) * (SECOND / 1000); break;
        case 'u': options.count_names = true; options.unique = strtoull(optarg, NULL, 10); break;
        case 'c': options.mix_case = true; break;
        case 'k': options.cookie = true; break;
        case 't': options.tcp = true; break;
        default: fputs(usage, stderr); exit(2);
        }
    if (options.port <= 0 || options.file == NULL || (options.queries == 0) == (options.duration == 0)) {
        fputs(usage, stderr);
        exit(2);
    }
    if (options.sockets == 0 || options.sockets > MAX_SOCKETS || options.window % options.sockets != 0 ||
        options.window == 0 || options.window / options.sockets > MAX_SLOTS)
        die("-w must be a multiple of -s (1 to %d), at most %d a socket", MAX_SOCKETS, MAX_SLOTS);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    read_queries();
    /* the default of 50 us is as long as the gap between two queries at 20,000 a second */
    prctl(PR_SET_TIMERSLACK, 1);
    peers = calloc(options.sockets, sizeof *peers);
    for (size_t i = 0; i < options.sockets; i++)
        connect_peer(&peers[i]);
    run();
    report();
    return 0;
}

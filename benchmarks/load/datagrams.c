/* Load for datagram echo servers: each datagram comes back as it was sent, to who sent it.
 *
 *   datagrams --port N [--peers 16] [--size 64] [--pipeline 16] [--offload] [--patience 0.2] and what measure.h has
 *
 * Each of PEERS connected sockets sends PIPELINE datagrams by one sendmmsg, and the next when all have come back. What has
 * not come within PATIENCE seconds is lost, and counted so. Every byte is compared; order does not matter, a second copy is
 * a fault. --offload: the PIPELINE datagrams of a batch leave as one buffer that the kernel cuts (UDP_SEGMENT), and come as
 * one where it can join them (UDP_GRO).
 */
#include "measure.h"
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MAX_PIPELINE = 64, LARGEST = 65507 };

typedef struct {
    int fd;
    uint32_t index;
    uint32_t first;   /* number of the first datagram of this batch */
    long missing;     /* of this batch */
    uint64_t seen;    /* a bit for each of this batch */
    double sent_at;
} peer;

static long peers = 16, size = 64, pipeline = 16;
static double patience = 0.2;
static int offload;

static peer *all;
static char *filler, *tx, *rx;
static struct mmsghdr tx_messages[MAX_PIPELINE], rx_messages[MAX_PIPELINE];
static struct iovec tx_parts[MAX_PIPELINE], rx_parts[MAX_PIPELINE];
static uint64_t lost, late;

static void fill(peer *p) {
    for (long i = 0; i < pipeline; i++) {
        char *out = tx + i * size;
        write_header(out, p->first + (uint32_t)i, p->index);
        memcpy(out + HEADER, filler, (size_t)size - HEADER);
    }
}

static int send_each(peer *p) {
    for (long sent = 0; sent < pipeline;) {
        int n = sendmmsg(p->fd, tx_messages + sent, (unsigned)(pipeline - sent), 0);
        if (n < 0 && !would_block()) return fail("peer %u: sendmmsg: %s", p->index, strerror(errno));
        if (n < 0) break; /* the socket is full: the rest counts as lost */
        sent += n;
    }
    return 0;
}

static int send_joined(peer *p) {
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec part = {tx, (size_t)(pipeline * size)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    uint16_t segment = (uint16_t)size;
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(c), &segment, sizeof segment);
    if (sendmsg(p->fd, &message, 0) < 0 && !would_block())
        return fail("peer %u: sendmsg with UDP_SEGMENT: %s", p->index, strerror(errno));
    return 0;
}

static int next_batch(peer *p) {
    p->first += (uint32_t)pipeline;
    p->missing = pipeline;
    p->seen = 0;
    fill(p);
    p->sent_at = now();
    return offload ? send_joined(p) : send_each(p);
}

static int check(peer *p, const char *data, size_t length, double t) {
    unsigned number = 0, index = 0;
    if (length != (size_t)size) return fail("peer %u: %zu bytes came back, not %ld", p->index, length, size);
    if (sscanf(data, "%7X:%7X:", &number, &index) != 2 || index != p->index)
        return fail("peer %u: a datagram came that is not its own", p->index);
    if (memcmp(data + HEADER, filler, length - HEADER)) return fail("peer %u: datagram %u is damaged", p->index, number);
    uint32_t place = (number - p->first) & 0xfffffff;
    if (place >= (uint32_t)pipeline) { /* given up before */
        late++;
        return 0;
    }
    if (p->seen & 1ULL << place) return fail("peer %u: datagram %u came twice", p->index, number);
    p->seen |= 1ULL << place;
    p->missing--;
    record_latency(t - p->sent_at, 1);
    total_messages++;
    total_bytes += length;
    return 0;
}

static int receive_each(peer *p) {
    int n = recvmmsg(p->fd, rx_messages, (unsigned)pipeline, 0, NULL);
    double t = now();
    for (int i = 0; i < n; i++)
        if (check(p, rx_parts[i].iov_base, rx_messages[i].msg_len, t)) return -1;
    return n < 0 && !would_block() ? fail("peer %u: recvmmsg: %s", p->index, strerror(errno)) : 0;
}

static int receive_joined(peer *p) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {rx, LARGEST};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(p->fd, &message, 0);
    int segment = (int)n;
    if (n < 0) return would_block() ? 0 : fail("peer %u: recvmsg: %s", p->index, strerror(errno));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) memcpy(&segment, CMSG_DATA(c), sizeof segment);
    double t = now();
    for (ssize_t at = 0; at < n; at += segment)
        if (check(p, rx + at, (size_t)(n - at < segment ? n - at : segment), t)) return -1;
    return 0;
}

static int on_event(void *what, uint32_t events) {
    peer *p = what;
    (void)events;
    if (offload ? receive_joined(p) : receive_each(p)) return -1;
    return p->missing || stopping ? 0 : next_batch(p);
}

/* Give up what does not come. Looked at now and then, not on each turn: peers can be many. */
static double on_turn(double t) {
    static double next_look;
    if (t < next_look) return next_look;
    for (long i = 0; i < peers; i++) {
        peer *p = &all[i];
        if (!p->missing || t - p->sent_at < patience) continue;
        lost += (uint64_t)p->missing;
        p->missing = 0;
        if (!stopping && next_batch(p)) return t;
    }
    return next_look = t + patience / 4;
}

static uint64_t outstanding(void) {
    uint64_t sum = 0;
    for (long i = 0; i < peers; i++) sum += (uint64_t)all[i].missing;
    return sum;
}

static void open_all(void) {
    struct sockaddr_in address = target();
    int buffer = 4 << 20, on = 1;
    raise_files();
    filler = make_filler((size_t)size);
    tx = must(malloc((size_t)(pipeline * size)));
    rx = must(malloc(LARGEST + MAX_PIPELINE * (size_t)size));
    for (long i = 0; i < pipeline; i++) {
        tx_parts[i] = (struct iovec){tx + i * size, (size_t)size};
        rx_parts[i] = (struct iovec){rx + i * (size + 1), (size_t)size + 1}; /* one byte more: a surplus would show */
        tx_messages[i].msg_hdr = (struct msghdr){.msg_iov = &tx_parts[i], .msg_iovlen = 1};
        rx_messages[i].msg_hdr = (struct msghdr){.msg_iov = &rx_parts[i], .msg_iovlen = 1};
    }
    all = must(calloc((size_t)peers, sizeof *all));
    for (long i = 0; i < peers; i++) {
        peer *p = &all[i];
        p->index = (uint32_t)i;
        p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof address))
            die(3, "peer %ld: cannot open a socket: %s", i, strerror(errno));
        setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
        if (offload && setsockopt(p->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on))
            die(3, "this kernel has no UDP_GRO: %s", strerror(errno));
        if (watch_fd(p->fd, p, EPOLLIN, 0)) die(3, "%s", error);
    }
}

int main(int argc, char **argv) {
    const option_spec options[] = {{"peers", WHOLE, &peers, 1, 10000},
                                   {"size", WHOLE, &size, HEADER + 1, LARGEST},
                                   {"pipeline", WHOLE, &pipeline, 1, MAX_PIPELINE},
                                   {"patience", DECIMAL, &patience, 0.001, 60},
                                   {"offload", FLAG, &offload, 0, 0},
                                   COMMON_OPTIONS};
    read_options(argc, argv, options);
    if (offload && size * pipeline > LARGEST) die(2, "--offload takes at most %d bytes a batch", LARGEST);
    open_all();
    int failed = 0;
    for (long i = 0; i < peers && !failed; i++) failed = next_batch(&all[i]);
    failed = failed || measure();
    if (!failed && !total_messages) failed = fail("not one datagram came back");
    begin_report();
    printf("\"lost\": %llu, \"late\": %llu, ", (unsigned long long)lost, (unsigned long long)late);
    return end_report(failed);
}

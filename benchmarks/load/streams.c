/* Load for echo servers over TCP, or TLS where compiled with -DTLS: each message comes back as it was sent.
 *
 *   streams --port N [--connections 64] [--size 1024] [--pipeline 1] [--framing raw|lines|length|websocket]
 *           [--refill batch|sliding] [--rate MESSAGES_PER_SECOND] [--tls] [--realtime] and what measure.h has
 *
 * Closed loop (the default): each connection keeps at most PIPELINE messages in flight. With --refill batch (the default)
 * the next PIPELINE messages leave, in one send, when all replies to the last ones have come, as redis-benchmark -P
 * does. With --refill sliding each read's worth of replies is followed by as many new messages at once.
 *
 * Open loop (--rate): messages are due at constant distances, over all connections in turn. A reply's latency counts
 * from when its message was due, not from when it could leave: a server that stops for a moment pays for all that
 * would have come meanwhile. PIPELINE bounds what one connection has in flight; the rest waits, its clock running.
 *
 * SIZE is the payload's. Every payload is different, and every byte of every reply is compared with what was sent; at the
 * end nothing may be missing and nothing left over. lines: the payload's last byte is LF, no other is. length: behind its
 * length in four bytes, most significant first. websocket: binary frames, masked as clients must.
 *
 * --realtime asks for SCHED_FIFO, so that other load beside this one does not count as the server's latency.
 */
#include "link.h"

enum { MAX_PREFIX = 14 };

typedef struct {
    link_to link;
    uint32_t index;
    uint32_t sent;         /* number of the next message to send */
    uint32_t received;     /* number of the next reply expected */
    uint32_t owed;         /* open loop: due, and not sent because PIPELINE were in flight */
    size_t have;           /* bytes in rx, always less than one message between two reads */
    size_t tx_from, tx_to; /* what waits in tx for the socket to take it */
    int wants_write;
    char *rx, *tx;
    double *sent_at; /* closed loop: when the last PIPELINE messages left */
} connection;

static const char *framing = "raw", *refill = "batch";
static long connections = 64, size = 1024, pipeline = 1;
static double rate;
static int realtime, sliding, masked;

static connection *all;
static double begun;     /* open loop: when message 0 was due */
static uint64_t arrived; /* open loop: messages that were due so far */
static char tx_prefix[MAX_PREFIX], rx_prefix[MAX_PREFIX];
static size_t tx_prefixed, rx_prefixed;  /* bytes of these */
static size_t tx_size, rx_size;          /* bytes of a whole message, and of a whole reply */
static char *filler, *tx_filler;         /* what every payload has behind its header; masked where frames are */
static const char mask[4] = {0x5a, 0x17, (char)0xc3, 0x6e};

/* ---- sending ---- */

static int watch(connection *c, int wants_write) {
    if (c->wants_write == wants_write) return 0;
    c->wants_write = wants_write;
    return watch_fd(c->link.fd, c, EPOLLIN | (wants_write ? EPOLLOUT : 0), 1);
}

static int flush(connection *c) {
    while (c->tx_from < c->tx_to) {
        ssize_t n = transmit(&c->link, c->tx + c->tx_from, c->tx_to - c->tx_from);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && would_block()) return watch(c, 1);
        if (n < 0) return fail("connection %u: send: %s", c->index, strerror(errno));
        c->tx_from += (size_t)n;
    }
    c->tx_from = c->tx_to = 0;
    return watch(c, 0);
}

static void append_message(connection *c) {
    char *out = c->tx + c->tx_to;
    memcpy(out, tx_prefix, tx_prefixed);
    out += tx_prefixed;
    write_header(out, c->sent++, c->index);
    if (masked)
        for (int i = 0; i < HEADER; i++) out[i] ^= mask[i & 3];
    memcpy(out + HEADER, tx_filler, (size_t)size - HEADER);
    c->tx_to += tx_size;
}

/* Put new messages behind what still waits. There is room: never more than PIPELINE are out. */
static int submit(connection *c, long count) {
    if (c->tx_from) {
        memmove(c->tx, c->tx + c->tx_from, c->tx_to - c->tx_from);
        c->tx_to -= c->tx_from;
        c->tx_from = 0;
    }
    double t = rate ? 0 : now();
    for (; count > 0; count--) {
        c->sent_at[c->sent % (uint32_t)pipeline] = t;
        append_message(c);
    }
    return flush(c);
}

/* ---- replies ---- */

static int check(const connection *c, const char *reply) {
    char header[HEADER];
    const char *body = reply + rx_prefixed;
    write_header(header, c->received, c->index);
    if (!memcmp(reply, rx_prefix, rx_prefixed) && !memcmp(body, header, HEADER) &&
        !memcmp(body + HEADER, filler, (size_t)size - HEADER))
        return 0;
    char *expected = must(malloc(rx_size));
    memcpy(expected, rx_prefix, rx_prefixed);
    memcpy(expected + rx_prefixed, header, HEADER);
    memcpy(expected + rx_prefixed + HEADER, filler, (size_t)size - HEADER);
    size_t at = first_difference(reply, expected);
    return fail("connection %u, reply %u: byte %zu of %zu is 0x%02x, sent was 0x%02x", c->index, c->received, at,
                rx_size, (unsigned char)reply[at], (unsigned char)expected[at]);
}

static double sent_at(const connection *c) {
    if (rate) return begun + ((double)c->received * (double)connections + c->index) / rate;
    return c->sent_at[c->received % (uint32_t)pipeline];
}

/* Check every complete reply; how many there were, or -1. */
static long take_replies(connection *c) {
    const char *reply = c->rx;
    long complete = 0;
    double t = now();
    for (; c->have >= rx_size; c->have -= rx_size, reply += rx_size, complete++, c->received++) {
        if (check(c, reply)) return -1;
        record_latency(t - sent_at(c), 1);
    }
    if (c->have && complete) memmove(c->rx, reply, c->have);
    total_messages += (uint64_t)complete;
    total_bytes += (uint64_t)complete * (uint64_t)size;
    return complete;
}

static int send_more(connection *c, long complete) {
    if (stopping || !complete) return 0;
    if (rate) {
        long more = c->owed < (uint32_t)complete ? (long)c->owed : complete;
        c->owed -= (uint32_t)more;
        return more ? submit(c, more) : 0;
    }
    if (sliding) return submit(c, complete);
    return c->sent == c->received ? submit(c, pipeline) : 0;
}

/* Read once (under TLS until nothing is left that no event would tell of), check, send what may follow. */
static int pump(connection *c) {
    for (;;) {
        size_t missing = (size_t)(c->sent - c->received) * rx_size - c->have;
        ssize_t n = receive(&c->link, c->rx + c->have, missing + 1); /* one byte more: a surplus would show */
        if (n < 0 && would_block()) return 0;
        if (n < 0)
            return fail("connection %u: recv: %s, %zu bytes of replies missing", c->index, strerror(errno), missing);
        if (n == 0) return fail("connection %u: closed by the server, %zu bytes of replies missing", c->index, missing);
        if ((size_t)n > missing) return fail("connection %u: more bytes came back than were sent", c->index);
        c->have += (size_t)n;
        long complete = take_replies(c);
        if (complete < 0 || send_more(c, complete)) return -1;
        if (!tls) return 0;
    }
}

/* ---- what measure() asks for ---- */

static int on_event(void *what, uint32_t events) {
    connection *c = what;
    if ((events & EPOLLOUT) && flush(c)) return -1;
    return (events & ~(uint32_t)EPOLLOUT) ? pump(c) : 0;
}

static double on_turn(double t) {
    if (!rate || stopping) return NEVER;
    double due;
    while ((due = begun + (double)arrived / rate) <= t) {
        connection *c = &all[arrived++ % (uint64_t)connections];
        if (c->sent - c->received >= (uint32_t)pipeline)
            c->owed++;
        else if (submit(c, 1))
            return t;
    }
    return due;
}

static uint64_t outstanding(void) {
    uint64_t sum = 0;
    for (long i = 0; i < connections; i++) sum += all[i].sent - all[i].received;
    return sum;
}

/* ---- setting up ---- */

static void frame(void) {
    size_t lengths = 0;
    filler = make_filler((size_t)size);
    tx_filler = must(malloc((size_t)size));
    if (!strcmp(framing, "lines")) {
        filler[size - HEADER - 1] = '\n';
    } else if (!strcmp(framing, "length")) {
        uint32_t length = htonl((uint32_t)size);
        memcpy(tx_prefix, &length, 4);
        memcpy(rx_prefix, &length, 4);
        tx_prefixed = rx_prefixed = 4;
    } else if (!strcmp(framing, "websocket")) { /* RFC 6455 section 5.2 */
        masked = 1;
        lengths = size < 126 ? 0 : size < 65536 ? 2 : 8;
        rx_prefix[0] = (char)0x82;
        rx_prefix[1] = (char)(size < 126 ? size : size < 65536 ? 126 : 127);
        for (size_t i = 0; i < lengths; i++) rx_prefix[2 + i] = (char)((uint64_t)size >> 8 * (lengths - 1 - i));
        rx_prefixed = 2 + lengths;
        memcpy(tx_prefix, rx_prefix, rx_prefixed);
        tx_prefix[1] |= (char)0x80;
        memcpy(tx_prefix + rx_prefixed, mask, 4);
        tx_prefixed = rx_prefixed + 4;
    } else if (strcmp(framing, "raw")) {
        die(2, "--framing is 'raw', 'lines', 'length' or 'websocket', not '%s'", framing);
    }
    for (long i = 0; i < size - HEADER; i++) tx_filler[i] = masked ? (char)(filler[i] ^ mask[i & 3]) : filler[i];
    tx_size = tx_prefixed + (size_t)size;
    rx_size = rx_prefixed + (size_t)size;
}

/* RFC 6455 section 4.1. The key is that of its section 1.3, so the answer is known too. */
static void upgrade(connection *c) {
    static const char accepts[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    char head[4096];
    size_t have = 0;
    int length = snprintf(head, sizeof head,
                          "GET / HTTP/1.1\r\nHost: %s:%ld\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host, port);
    if (transmit(&c->link, head, (size_t)length) != length) die(3, "connection %u: cannot send the handshake", c->index);
    do {
        ssize_t n = have < sizeof head - 1 ? receive(&c->link, head + have, 1) : 0;
        if (n != 1) die(3, "connection %u: the WebSocket handshake was not answered", c->index);
        head[++have] = '\0';
    } while (have < 4 || strcmp(head + have - 4, "\r\n\r\n"));
    if (strncmp(head, "HTTP/1.1 101", 12) || !strstr(head, accepts))
        die(3, "connection %u: the WebSocket handshake was refused: %.*s", c->index, (int)strcspn(head, "\r"), head);
}

static void open_all(void) {
    struct sockaddr_in address = target();
    raise_files();
    frame();
    all = must(calloc((size_t)connections, sizeof *all));
    for (long i = 0; i < connections; i++) {
        connection *c = &all[i];
        c->index = (uint32_t)i;
        open_link(&c->link, &address, c->index);
        if (masked) upgrade(c);
        no_wait(c->link.fd);
        c->rx = must(malloc((size_t)pipeline * rx_size + 1));
        c->tx = must(malloc((size_t)pipeline * tx_size));
        c->sent_at = must(calloc((size_t)pipeline, sizeof(double)));
        if (watch_fd(c->link.fd, c, EPOLLIN, 0)) die(3, "%s", error);
    }
}

/* All replies are in: one last look whether a connection has something more to say. */
static int check_nothing_left(void) {
    struct timespec pause = {0, 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    for (long i = 0; i < connections; i++)
        if (pump(&all[i])) return -1;
    return 0;
}

int main(int argc, char **argv) {
    const option_spec options[] = {{"connections", WHOLE, &connections, 1, 60000},
                                   {"size", WHOLE, &size, HEADER + 1, 1 << 24},
                                   {"pipeline", WHOLE, &pipeline, 1, 65536},
                                   {"framing", TEXT, &framing, 0, 0},
                                   {"refill", TEXT, &refill, 0, 0},
                                   {"rate", DECIMAL, &rate, 0.1, 1e9},
                                   {"tls", FLAG, &tls, 0, 0},
                                   {"realtime", FLAG, &realtime, 0, 0},
                                   COMMON_OPTIONS};
    read_options(argc, argv, options);
    if (strcmp(refill, "batch") && strcmp(refill, "sliding"))
        die(2, "--refill is 'batch' or 'sliding', not '%s'", refill);
    sliding = !strcmp(refill, "sliding");
    struct sched_param priority = {.sched_priority = 1};
    int is_realtime = realtime && !sched_setscheduler(0, SCHED_FIFO, &priority);
    open_all();
    begun = now();
    int failed = 0;
    for (long i = 0; i < connections && !rate && !failed; i++) failed = submit(&all[i], pipeline);
    failed = failed || measure() || check_nothing_left();
    begin_report();
    printf("\"realtime\": %s, ", is_realtime ? "true" : "false");
    return end_report(failed);
}

/* Load for servers that tell many what one says: MEMBERS connections listen, one more speaks.
 *
 *   fanout --port N [--protocol lines|redis|nats|mqtt] [--members 200] [--speakers 1] [--size 64] [--pipeline 1]
 *          [--slow 0] [--rate MESSAGES_PER_SECOND] and what measure.h has
 *
 * Closed loop: each of SPEAKERS other connections sends PIPELINE messages in one send, and the next when every member has
 * all of them. Open loop (--rate): messages are due at constant distances, from the speakers in turn, at most PIPELINE of
 * each on their way. "messages" are deliveries. Each member must get every message once, whole, each speaker's in order;
 * every byte is compared. Latencies are from when a message left (open loop: was due) to when a member had it.
 *
 * --slow more members join and never read. What becomes of them is the server's affair: "slow_closed" counts those it
 * closed. The others must still get all.
 *
 * lines: a member says "SUB" and is answered "+OK"; any other line is told to all members as it is. redis: RESP2. nats: its
 * text protocol. mqtt: MQTT 3.1.1 at QoS 0.
 */
#include "measure.h"

enum { SLOW_BUFFER = 4096, MAX_SPEAKERS = 1024 };

typedef struct {
    int fd;
    uint32_t index;
    char *rx;
    size_t have;
    uint32_t *received; /* number of the next message expected, of each speaker */
} member;

typedef struct {
    int fd;
    uint32_t published;
    uint64_t delivered; /* to all members together */
    double *left_at;    /* closed loop: when message n left, at n % PIPELINE */
} speaker;

static const char *protocol = "lines";
static long members = 200, speakers = 1, size = 64, pipeline = 1, slow;
static double rate;

static member *all;
static speaker *speaking;
static int *slow_fds;
static uint64_t due_count; /* open loop: messages that were due so far */
static double begun;       /* open loop: when message 0 was due */
static char *payload, *tx;
static size_t room; /* bytes of each member's rx */

/* What stands around a payload on its way in and out, the same for every message. */
static char out_head[128], out_tail[8], in_head[128], in_tail[8];
static size_t out_heads, out_tails, in_heads, in_tails, out_size, in_size;

static void put(char *into, size_t *length, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void put(char *into, size_t *length, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    *length = (size_t)vsnprintf(into, 128, format, arguments);
    va_end(arguments);
}

static void frame_mqtt(void) { /* MQTT 3.1.1 section 3.3: PUBLISH, remaining length, topic "x" */
    size_t n = 0, remaining = (size_t)size + 3;
    out_head[n++] = 0x30;
    do {
        out_head[n++] = (char)((remaining & 127) | (remaining > 127 ? 128 : 0));
    } while (remaining >>= 7);
    memcpy(out_head + n, "\0\1x", 3);
    out_heads = in_heads = n + 3;
    memcpy(in_head, out_head, in_heads);
}

static void frame(void) {
    payload = make_filler((size_t)size);
    if (!strcmp(protocol, "lines")) {
        put(out_tail, &out_tails, "\n");
        put(in_tail, &in_tails, "\n");
    } else if (!strcmp(protocol, "redis")) {
        put(out_head, &out_heads, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n$%ld\r\n", size);
        put(in_head, &in_heads, "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$%ld\r\n", size);
        put(out_tail, &out_tails, "\r\n");
        put(in_tail, &in_tails, "\r\n");
    } else if (!strcmp(protocol, "nats")) {
        put(out_head, &out_heads, "PUB x %ld\r\n", size);
        put(in_head, &in_heads, "MSG x 1 %ld\r\n", size);
        put(out_tail, &out_tails, "\r\n");
        put(in_tail, &in_tails, "\r\n");
    } else if (!strcmp(protocol, "mqtt")) {
        frame_mqtt();
    } else {
        die(2, "--protocol is 'lines', 'redis', 'nats' or 'mqtt', not '%s'", protocol);
    }
    out_size = out_heads + (size_t)size + out_tails;
    in_size = in_heads + (size_t)size + in_tails;
}

/* ---- joining, while the sockets still block ---- */

/* Read until `end` has come at the end of what was read. */
static void expect(int fd, const char *end, size_t length) {
    char seen[4096];
    size_t have = 0;
    do {
        ssize_t n = have < sizeof seen ? recv(fd, seen + have, sizeof seen - have, 0) : 0;
        if (n <= 0) die(3, "the server did not let a member in (%s): it said '%.*s'", protocol, (int)have, seen);
        have += (size_t)n;
    } while (have < length || memcmp(seen + have - length, end, length));
}

static void exchange(int fd, const char *say, size_t length, const char *end, size_t end_length) {
    send_whole(fd, say, length);
    expect(fd, end, end_length);
}

static void greet(int fd, uint32_t index) {
    char hello[32];
    if (!strcmp(protocol, "nats")) {
        static const char connect_line[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
        exchange(fd, connect_line, sizeof connect_line - 1, "PONG\r\n", 6);
    } else if (!strcmp(protocol, "mqtt")) { /* section 3.1: clean session, no keep-alive, an id for each */
        memcpy(hello, "\x10\x14\0\4MQTT\4\2\0\0\0\x8", 14);
        snprintf(hello + 14, 9, "m%07u", index);
        exchange(fd, hello, 22, "\x20\2\0\0", 4);
    }
}

static void subscribe(int fd) {
    if (!strcmp(protocol, "lines")) exchange(fd, "SUB\n", 4, "+OK\n", 4);
    if (!strcmp(protocol, "redis"))
        exchange(fd, "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n", 26, ":1\r\n", 4);
    if (!strcmp(protocol, "nats")) exchange(fd, "SUB x 1\r\nPING\r\n", 15, "PONG\r\n", 6);
    if (!strcmp(protocol, "mqtt")) exchange(fd, "\x82\6\0\1\0\1x\0", 8, "\x90\3\0\1\0", 5);
}

static int join(const struct sockaddr_in *address, uint32_t index, int listens) {
    int fd = open_tcp(address, index);
    greet(fd, index);
    if (listens) subscribe(fd);
    no_wait(fd);
    return fd;
}

static void join_all(void) {
    struct sockaddr_in address = target();
    raise_files();
    frame();
    room = in_size * (size_t)(pipeline < 64 ? pipeline + 1 : 65) + 64;
    all = must(calloc((size_t)members, sizeof *all));
    slow_fds = must(calloc((size_t)slow + 1, sizeof *slow_fds));
    tx = must(malloc(out_size * (size_t)pipeline));
    speaking = must(calloc((size_t)speakers, sizeof *speaking));
    for (long i = 0; i < members; i++) {
        member *m = &all[i];
        m->index = (uint32_t)i;
        m->fd = join(&address, m->index, 1);
        m->rx = must(malloc(room));
        m->received = must(calloc((size_t)speakers, sizeof *m->received));
        if (watch_fd(m->fd, m, EPOLLIN, 0)) die(3, "%s", error);
    }
    for (long i = 0; i < slow; i++) {
        int small = SLOW_BUFFER;
        slow_fds[i] = join(&address, (uint32_t)(members + i), 1);
        setsockopt(slow_fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    for (long i = 0; i < speakers; i++) {
        speaking[i].fd = join(&address, (uint32_t)(members + slow + i), 0);
        speaking[i].left_at = must(calloc((size_t)pipeline, sizeof(double)));
        if (watch_fd(speaking[i].fd, &speaking[i], EPOLLIN, 0)) die(3, "%s", error);
    }
}

/* ---- speaking ---- */

/* A speaker's socket may fill for a moment; members are served meanwhile. */
static int transmit(const speaker *s, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(s->fd, tx + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && !would_block()) return fail("a speaker: send: %s", strerror(errno));
        if (n < 0 && wait_for_events(0.001)) return -1;
        if (n > 0) sent += (size_t)n;
    }
    return 0;
}

static int publish(speaker *s, long count) {
    char *out = tx;
    double t = now();
    uint32_t number = s->published;
    s->published += (uint32_t)count; /* now: a member may have the first before the last has left */
    for (; number != s->published; number++) {
        s->left_at[number % (uint32_t)pipeline] = t;
        memcpy(out, out_head, out_heads);
        memcpy(out += out_heads, payload, (size_t)size);
        write_header(out, number, (uint32_t)(s - speaking));
        memcpy(out += size, out_tail, out_tails);
        out += out_tails;
    }
    return transmit(s, out_size * (size_t)count);
}

static uint64_t outstanding_of(const speaker *s) { return (uint64_t)s->published * (uint64_t)members - s->delivered; }

static uint64_t outstanding(void) {
    uint64_t sum = 0;
    for (long i = 0; i < speakers; i++) sum += outstanding_of(&speaking[i]);
    return sum;
}

static double on_turn(double t) {
    double due;
    if (!rate || stopping) return NEVER;
    while ((due = begun + (double)due_count / rate) <= t) due_count++;
    for (long i = 0; i < speakers && !error[0]; i++) {
        speaker *s = &speaking[i];
        uint64_t owed = due_count / (uint64_t)speakers + ((uint64_t)i < due_count % (uint64_t)speakers);
        while (s->published < owed && outstanding_of(s) < (uint64_t)(pipeline * members) && !error[0]) publish(s, 1);
    }
    return due;
}

/* ---- listening ---- */

/* Whose message it is, and whether it is the one expected; NULL if not. */
static speaker *check(const member *m, const char *frame_at) {
    char header[HEADER];
    const char *body = frame_at + in_heads;
    unsigned index = 0;
    if (!memcmp(frame_at, in_head, in_heads) && sscanf(body + 8, "%7X:", &index) == 1 && index < (unsigned)speakers) {
        speaker *s = &speaking[index];
        write_header(header, m->received[index], index);
        if (m->received[index] == s->published)
            fail("member %u: more came than was said", m->index);
        else if (memcmp(body, header, HEADER))
            fail("member %u: message %.16s came, expected was %.16s", m->index, body, header);
        else if (memcmp(body + HEADER, payload + HEADER, (size_t)size - HEADER) || memcmp(body + size, in_tail, in_tails))
            fail("member %u: message %.16s is not what was said", m->index, header);
        else
            return s;
    } else {
        fail("member %u: not the frame expected", m->index);
    }
    return NULL;
}

static double left_at(const speaker *s, uint32_t number) {
    if (rate) return begun + ((double)number * (double)speakers + (double)(s - speaking)) / rate;
    return s->left_at[number % (uint32_t)pipeline];
}

/* Bytes of a PING at the front, answered; 0 if there is none. Only NATS sends them. */
static size_t answer_ping(int fd, const char *at, size_t left) {
    if (*at != 'P' || left < 6 || memcmp(at, "PING\r\n", 6)) return 0;
    return send(fd, "PONG\r\n", 6, MSG_NOSIGNAL) == 6 ? 6 : 0;
}

static int hear(member *m) {
    speaker *ready[MAX_SPEAKERS];
    size_t ready_count = 0;
    ssize_t n = recv(m->fd, m->rx + m->have, room - m->have, 0);
    if (n < 0 && would_block()) return 0;
    if (n <= 0) return fail("member %u: %s", m->index, n ? strerror(errno) : "closed by the server");
    m->have += (size_t)n;
    const char *at = m->rx, *end = m->rx + m->have;
    double t = now();
    while ((size_t)(end - at) >= 6) {
        size_t ping = answer_ping(m->fd, at, (size_t)(end - at));
        if (ping) {
            at += ping;
            continue;
        }
        if ((size_t)(end - at) < in_size) break;
        speaker *s = check(m, at);
        if (!s) return -1;
        record_latency(t - left_at(s, m->received[s - speaking]++), 1);
        total_messages++;
        at += in_size;
        s->delivered++;
        if (!rate && !stopping && !outstanding_of(s)) ready[ready_count++] = s;
    }
    m->have = (size_t)(end - at);
    if (m->have && at != m->rx) memmove(m->rx, at, m->have);
    total_bytes = total_messages * (uint64_t)size;
    for (size_t i = 0; i < ready_count; i++)
        if (publish(ready[i], pipeline)) return -1;
    return 0;
}

/* What a speaker is told (how many got it; pings) is read past. */
static int ignore(const speaker *s) {
    char heap[16384];
    ssize_t n = recv(s->fd, heap, sizeof heap, 0);
    if (n == 0 || (n < 0 && !would_block())) return fail("a speaker was closed by the server");
    if (n >= 6 && !strcmp(protocol, "nats")) answer_ping(s->fd, heap + n - 6, 6);
    return 0;
}

static int on_event(void *what, uint32_t events) {
    (void)events;
    speaker *s = what;
    return s >= speaking && s < speaking + speakers ? ignore(s) : hear(what);
}

/* How many of the slow ones the server closed. What it sent before is read first. */
static long slow_closed(void) {
    static char heap[1 << 16];
    long closed = 0;
    for (long i = 0; i < slow; i++) {
        ssize_t n;
        double until = now() + 1;
        while ((n = recv(slow_fds[i], heap, sizeof heap, 0)) > 0 && now() < until) {}
        closed += n == 0 || (n < 0 && !would_block());
    }
    return closed;
}

int main(int argc, char **argv) {
    const option_spec options[] = {{"members", WHOLE, &members, 1, 60000},
                                   {"size", WHOLE, &size, HEADER + 1, 1 << 16},
                                   {"pipeline", WHOLE, &pipeline, 1, 4096},
                                   {"slow", WHOLE, &slow, 0, 1000},
                                   {"protocol", TEXT, &protocol, 0, 0},
                                   {"rate", DECIMAL, &rate, 0.1, 1e7},
                                   {"speakers", WHOLE, &speakers, 1, MAX_SPEAKERS},
                                   COMMON_OPTIONS};
    read_options(argc, argv, options);
    join_all();
    begun = now();
    int failed = 0;
    for (long i = 0; i < speakers && !rate && !failed; i++) failed = publish(&speaking[i], pipeline);
    failed = failed || measure();
    begin_report();
    printf("\"slow_closed\": %ld, ", slow_closed());
    return end_report(failed);
}

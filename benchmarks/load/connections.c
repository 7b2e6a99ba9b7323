/* Load of connections rather than messages: how fast they come, and what they cost while they are silent.
 *
 *   connections --port N [--concurrency 64] [--size 64] and what measure.h has
 *       connect, one message, its reply, close; CONCURRENCY of these at any time. "messages" are connections that were
 *       served, latencies are from connect to reply.
 *   connections --port N --hold STEP,STEP,... [--concurrency 64] [--size 64]
 *       opens connections up to each step, exchanges one message on each and keeps it. After each step prints
 *       {"held": STEP, "seconds": SECONDS} on a line of its own, and waits for a line on stdin. Closes all at last.
 *
 * Replies are compared with what was sent. Connections come from several addresses of 127.0.0.0/8, because each has only
 * some 28,000 ports. The client closes first, as in echo it must.
 */
#include "measure.h"

enum { SOURCES = 16 };

typedef struct {
    int fd;
    uint32_t index;
    uint32_t number;
    int connected;
    double begun_at;
    size_t have;
} connection;

static long concurrency = 64, size = 64;
static const char *hold = "";

static connection *all;
static struct sockaddr_in address;
static char *message, *reply;
static uint32_t opened;
static uint64_t busy; /* connections on their way to a reply */
static uint32_t goal; /* --hold: how many to open in this step */

static int open_next(connection *c) {
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + opened % SOURCES)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) return fail("connection %u: socket: %s", opened, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source))
        return fail("connection %u: bind: %s", opened, strerror(errno));
    c->number = opened++;
    c->begun_at = now();
    c->connected = 0;
    c->have = 0;
    busy++;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        return fail("connection %u: cannot connect to %s:%ld: %s", c->number, host, port, strerror(errno));
    return watch_fd(c->fd, c, EPOLLOUT, 0);
}

static int say(connection *c) {
    int problem = 0;
    socklen_t length = sizeof problem;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &length);
    if (problem) return fail("connection %u: cannot connect to %s:%ld: %s", c->number, host, port, strerror(problem));
    c->connected = 1;
    write_header(message, c->number, c->index);
    if (send(c->fd, message, (size_t)size, MSG_NOSIGNAL) != size)
        return fail("connection %u: send: %s", c->number, strerror(errno));
    return watch_fd(c->fd, c, EPOLLIN, 1);
}

/* The reply is whole: close and begin anew, or keep it. */
static int served(connection *c) {
    record_latency(now() - c->begun_at, 1);
    total_messages++;
    total_bytes += (uint64_t)size;
    busy--;
    if (*hold) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        return opened < goal ? open_next(&all[opened]) : 0;
    }
    close(c->fd);
    return stopping ? 0 : open_next(c);
}

static int on_event(void *what, uint32_t events) {
    connection *c = what;
    (void)events;
    if (!c->connected) return say(c);
    ssize_t n = recv(c->fd, reply, (size_t)size - c->have + 1, 0);
    if (n < 0 && would_block()) return 0;
    if (n < 0) return fail("connection %u: recv: %s", c->number, strerror(errno));
    if (n == 0) return fail("connection %u: closed by the server before its reply", c->number);
    write_header(message, c->number, c->index);
    if (c->have + (size_t)n > (size_t)size) return fail("connection %u: more bytes came back than were sent", c->number);
    if (memcmp(reply, message + c->have, (size_t)n))
        return fail("connection %u: byte %zu of the reply is not what was sent", c->number,
                    c->have + first_difference(reply, message + c->have));
    c->have += (size_t)n;
    return c->have == (size_t)size ? served(c) : 0;
}

static double on_turn(double t) {
    (void)t;
    return NEVER;
}

static uint64_t outstanding(void) { return busy; }

static int churn(void) {
    int failed = 0;
    for (long i = 0; i < concurrency && !failed; i++) failed = open_next(&all[i]);
    failed = failed || measure();
    begin_report();
    return end_report(failed);
}

static int hold_all(void) {
    for (const char *step = hold; *step;) {
        char *end, line[16];
        goal = (uint32_t)strtoul(step, &end, 10);
        if (end == step || (*end && *end != ',')) die(2, "--hold is numbers with commas between, not '%s'", hold);
        step = *end ? end + 1 : end;
        double begin = now();
        for (long i = 0; i < concurrency && opened < goal; i++)
            if (open_next(&all[opened])) die(1, "%s", error);
        stopping = 1; /* for run_until(): until nothing is outstanding */
        if (run_until(0) && gave_up)
            die(3, "the server took %llu connections of %u: %s", (unsigned long long)total_messages, goal, error);
        if (error[0]) die(1, "%s", error);
        printf("{\"held\": %u, \"seconds\": %.6f}\n", opened, now() - begin);
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) return 0;
    }
    return 0;
}

int main(int argc, char **argv) {
    const option_spec options[] = {{"concurrency", WHOLE, &concurrency, 1, 4096},
                                   {"size", WHOLE, &size, HEADER + 1, 1 << 16},
                                   {"hold", TEXT, &hold, 0, 0},
                                   COMMON_OPTIONS};
    read_options(argc, argv, options);
    raise_files();
    address = target();
    message = must(malloc((size_t)size));
    memcpy(message + HEADER, make_filler((size_t)size), (size_t)size - HEADER);
    message[size - 1] = '\n';
    reply = must(malloc((size_t)size + 1));
    all = must(calloc(65536, sizeof *all));
    for (uint32_t i = 0; i < 65536; i++) all[i].index = i;
    return *hold ? hold_all() : churn();
}

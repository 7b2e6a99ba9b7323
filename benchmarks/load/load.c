/* A closed-loop load generator for echo servers: bytes (raw) or lines.
 *
 *   load --port N [--host 127.0.0.1] [--connections 64] [--size 1024] [--pipeline 1] [--lines]
 *        [--refill batch|sliding] [--warmup SECONDS] [--duration SECONDS] [--stall SECONDS] [--server-pid PID]
 *
 * Each connection keeps at most PIPELINE messages of SIZE bytes in flight. With --refill batch (the default) the next
 * PIPELINE messages leave, in one send, when all replies to the last ones have come, as redis-benchmark -P does. With
 * --refill sliding each read's worth of replies is followed by as many new messages at once.
 *
 * Every message is different (its number and its connection's stand at its front), and every byte of every reply is
 * compared with what was sent; at the end nothing may be missing and nothing may be left over. With --lines the last
 * byte of a message is LF and no other byte is.
 *
 * A server that sends no reply at all for --stall seconds (5) is given up.
 *
 * Counted is what comes between the end of the warm-up and the end of the duration. With --server-pid the CPU time
 * of that process (all threads, user and system, from /proc/PID/task/TID/schedstat) over the same window is reported, and
 * the time it waited for its core while another process had it.
 *
 * One JSON object on one line goes to stdout. Exit codes: 0 all replies right; 1 a wrong, missing or surplus reply, or
 * a connection closed early (the object's "error" says what); 2 usage; 3 could not connect or set up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, MAX_EVENTS = 512 };

typedef struct {
    int fd;
    uint32_t index;
    uint32_t sent;        /* number of the next message to send */
    uint32_t received;    /* number of the next reply expected */
    size_t have;          /* bytes in rx, always less than one message between two reads */
    size_t tx_from, tx_to; /* what waits in tx for the socket to take it */
    int wants_write;
    char *rx, *tx;
} connection;

typedef struct {
    double wall, own_cpu;
    double server_cpu, server_waited; /* seconds; negative where the kernel does not tell */
    uint64_t messages;
} snapshot;

static const char *host = "127.0.0.1";
static int port, lines, sliding;
static long connections = 64, size = 1024, pipeline = 1, server_pid = -1;
static double warmup = 0.5, duration = 2.0, stall = 5.0;

static int epoll_fd, stopping;
static uint64_t total_messages;
static char *filler; /* what every message has behind its header */
static char error[256];

static int fail(const char *format, ...) {
    if (!error[0]) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error, sizeof error, format, arguments);
        va_end(arguments);
    }
    return -1;
}

static void die(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double own_cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* Seconds all threads of the server were on a CPU, and seconds they were ready to run while something else had it. The
 * file of the process itself counts its main thread alone; /proc/PID/stat counts in ticks of 4 or 10 ms. */
static void look_at_server(snapshot *s) {
    char path[320];
    double ran = 0, waited = 0, thread_ran, thread_waited;
    struct dirent *entry;
    DIR *tasks = NULL;
    if (server_pid > 0) {
        snprintf(path, sizeof path, "/proc/%ld/task", server_pid);
        tasks = opendir(path);
    }
    while (tasks && (entry = readdir(tasks))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", server_pid, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%lf %lf", &thread_ran, &thread_waited) == 2) {
            ran += thread_ran * 1e-9;
            waited += thread_waited * 1e-9;
        }
        fclose(file);
    }
    if (tasks) closedir(tasks);
    s->server_cpu = ran > 0 ? ran : -1;
    s->server_waited = waited;
}

static snapshot take(void) {
    snapshot s = {.wall = now(), .own_cpu = own_cpu(), .messages = total_messages};
    look_at_server(&s);
    return s;
}

/* "0001A2B:000003F:": the message's number, the connection's, in hexadecimal. Upper case throughout. */
static void write_header(char *out, uint32_t number, uint32_t index) {
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 6; i >= 0; i--, number >>= 4, index >>= 4) {
        out[i] = digits[number & 15];
        out[i + 8] = digits[index & 15];
    }
    out[7] = out[15] = ':';
}

static int watch(connection *c, int wants_write) {
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = c};
    if (c->wants_write == wants_write) return 0;
    c->wants_write = wants_write;
    return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) ? fail("epoll_ctl: %s", strerror(errno)) : 0;
}

static int flush(connection *c) {
    while (c->tx_from < c->tx_to) {
        ssize_t n = send(c->fd, c->tx + c->tx_from, c->tx_to - c->tx_from, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return watch(c, 1);
        if (n < 0) return fail("connection %u: send: %s", c->index, strerror(errno));
        c->tx_from += (size_t)n;
    }
    c->tx_from = c->tx_to = 0;
    return watch(c, 0);
}

/* Put new messages behind what still waits. There is room: never more than PIPELINE are out. */
static int submit(connection *c, long count) {
    if (c->tx_from) {
        memmove(c->tx, c->tx + c->tx_from, c->tx_to - c->tx_from);
        c->tx_to -= c->tx_from;
        c->tx_from = 0;
    }
    for (; count > 0; count--) {
        char *message = c->tx + c->tx_to;
        write_header(message, c->sent++, c->index);
        memcpy(message + HEADER, filler, (size_t)size - HEADER);
        c->tx_to += (size_t)size;
    }
    return flush(c);
}

static int check(const connection *c, const char *reply) {
    char header[HEADER];
    write_header(header, c->received, c->index);
    if (!memcmp(reply, header, HEADER) && !memcmp(reply + HEADER, filler, (size_t)size - HEADER)) return 0;
    size_t at = 0;
    while (reply[at] == (at < HEADER ? header[at] : filler[at - HEADER])) at++;
    unsigned char expected = (unsigned char)(at < HEADER ? header[at] : filler[at - HEADER]);
    return fail("connection %u, reply %u: byte %zu of %ld is 0x%02x, sent was 0x%02x", c->index, c->received, at, size,
                (unsigned char)reply[at], expected);
}

/* Read once, check every complete reply, send what may follow. */
static int pump(connection *c) {
    size_t owed = (size_t)(c->sent - c->received) * (size_t)size - c->have;
    ssize_t n = recv(c->fd, c->rx + c->have, owed + 1, 0); /* one byte more: a surplus would show */
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
        return fail("connection %u: recv: %s, %zu bytes of replies missing", c->index, strerror(errno), owed);
    }
    if (n == 0) return fail("connection %u: closed by the server, %zu bytes of replies missing", c->index, owed);
    if ((size_t)n > owed) return fail("connection %u: more bytes came back than were sent", c->index);
    c->have += (size_t)n;
    const char *reply = c->rx;
    long complete = 0;
    for (; c->have >= (size_t)size; c->have -= (size_t)size, reply += size, complete++, c->received++)
        if (check(c, reply)) return -1;
    if (c->have && complete) memmove(c->rx, reply, c->have);
    total_messages += (uint64_t)complete;
    if (stopping || !complete) return 0;
    if (sliding) return submit(c, complete);
    return c->sent == c->received ? submit(c, pipeline) : 0;
}

static void open_connection(connection *c, uint32_t index, const struct sockaddr_in *address) {
    int on = 1;
    c->index = index;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die(3, "connection %u: socket: %s", index, strerror(errno));
    if (connect(c->fd, (const struct sockaddr *)address, sizeof *address))
        die(3, "connection %u: cannot connect to %s:%d: %s", index, host, port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->rx = malloc((size_t)(pipeline * size) + 1);
    c->tx = malloc((size_t)(pipeline * size));
    if (!c->rx || !c->tx) die(3, "out of memory for %ld connections", connections);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die(3, "epoll_ctl: %s", strerror(errno));
}

static uint64_t outstanding(const connection *all) {
    uint64_t sum = 0;
    for (long i = 0; i < connections; i++) sum += all[i].sent - all[i].received;
    return sum;
}

/* Serve events until `until`, or (when stopping) until no reply is outstanding. */
static int run(connection *all, double until) {
    struct epoll_event events[MAX_EVENTS];
    double progress_at = now(), t = progress_at;
    uint64_t progress = total_messages;
    while (stopping ? outstanding(all) > 0 : t < until) {
        double left = stopping ? 0.1 : until - t;
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, left < 0.1 ? (int)(left * 1000) + 1 : 100);
        if (n < 0 && errno != EINTR) return fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) && flush(c)) return -1;
            if ((events[i].events & ~(uint32_t)EPOLLOUT) && pump(c)) return -1;
        }
        t = now();
        if (total_messages != progress) {
            progress = total_messages;
            progress_at = t;
        } else if (t - progress_at > stall) {
            return fail("no reply for %g s, %llu outstanding", stall, (unsigned long long)outstanding(all));
        }
    }
    return 0;
}

/* All replies are in: one last look whether a connection has something more to say. */
static int check_nothing_left(connection *all) {
    struct timespec pause = {0, 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    for (long i = 0; i < connections; i++)
        if (pump(&all[i])) return -1;
    return 0;
}

static double number(const char *name, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= low && value <= high))
        die(2, "--%s must be a number from %g to %g, not '%s'", name, low, high, text);
    return value;
}

static void read_arguments(int argc, char **argv) {
    static const struct option options[] = {
        {"host", 1, 0, 'h'},     {"port", 1, 0, 'p'},   {"connections", 1, 0, 'c'}, {"size", 1, 0, 's'},
        {"pipeline", 1, 0, 'n'}, {"lines", 0, 0, 'l'},  {"refill", 1, 0, 'r'},      {"warmup", 1, 0, 'w'},
        {"duration", 1, 0, 'd'}, {"server-pid", 1, 0, 'P'}, {"stall", 1, 0, 'S'},        {0, 0, 0, 0}};
    int option, which = 0;
    while ((option = getopt_long(argc, argv, "", options, &which)) != -1) {
        const char *name = options[which].name;
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = (int)number(name, optarg, 1, 65535); break;
        case 'c': connections = (long)number(name, optarg, 1, 60000); break;
        case 's': size = (long)number(name, optarg, HEADER + 1, 1 << 24); break;
        case 'n': pipeline = (long)number(name, optarg, 1, 4096); break;
        case 'l': lines = 1; break;
        case 'w': warmup = number(name, optarg, 0, 3600); break;
        case 'd': duration = number(name, optarg, 0.01, 3600); break;
        case 'S': stall = number(name, optarg, 0.01, 3600); break;
        case 'P': server_pid = (long)number(name, optarg, 1, 1 << 30); break;
        case 'r':
            if (strcmp(optarg, "batch") && strcmp(optarg, "sliding"))
                die(2, "--refill is 'batch' or 'sliding', not '%s'", optarg);
            sliding = !strcmp(optarg, "sliding");
            break;
        default: exit(2);
        }
    }
    if (optind < argc) die(2, "unexpected argument '%s'", argv[optind]);
    if (!port) die(2, "--port is missing");
}

static connection *open_all(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct rlimit files;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(2, "--host must be an IPv4 address, not '%s'", host);
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    filler = malloc((size_t)size);
    connection *all = calloc((size_t)connections, sizeof *all);
    if (!filler || !all) die(3, "out of memory");
    for (long i = 0; i < size - HEADER; i++) filler[i] = (char)('A' + i % 26);
    if (lines) filler[size - HEADER - 1] = '\n';
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die(3, "epoll_create1: %s", strerror(errno));
    for (long i = 0; i < connections; i++) open_connection(&all[i], (uint32_t)i, &address);
    return all;
}

static void report(const snapshot *from, const snapshot *to) {
    double seconds = to->wall - from->wall;
    uint64_t messages = to->messages - from->messages;
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"connections\": %ld, \"size\": %ld, \"pipeline\": %ld, "
           "\"lines\": %s, \"refill\": \"%s\", \"verified\": %llu, \"load_cpu_seconds\": %.6f, ",
           (unsigned long long)messages, seconds, connections, size, pipeline, lines ? "true" : "false",
           sliding ? "sliding" : "batch", (unsigned long long)total_messages, to->own_cpu - from->own_cpu);
    if (from->server_cpu >= 0 && to->server_cpu >= 0)
        printf("\"server_cpu_seconds\": %.6f, \"server_waited_seconds\": %.6f, ", to->server_cpu - from->server_cpu,
               to->server_waited - from->server_waited);
    else
        printf("\"server_cpu_seconds\": null, \"server_waited_seconds\": null, ");
    if (error[0])
        printf("\"error\": \"%s\"}\n", error);
    else
        printf("\"error\": null}\n");
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    connection *all = open_all();
    snapshot from = take(), to;
    int failed = 0;
    for (long i = 0; i < connections && !failed; i++) failed = submit(&all[i], pipeline);
    double begin = now();
    failed = failed || run(all, begin + warmup);
    from = take();
    failed = failed || run(all, from.wall + duration);
    to = take();
    stopping = 1;
    failed = failed || run(all, 0) || check_nothing_left(all);
    report(&from, &to);
    return failed ? 1 : 0;
}

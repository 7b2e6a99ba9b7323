/* What all load generators have in common: options, clocks, the window that counts, latencies, the report.
 *
 * A program includes this file and defines
 *   on_event(what, events)   an epoll event of something it watches with watch_fd()
 *   on_turn(t)               called before each wait, t = now(); sends what is due; returns when it wants to be
 *                            called again (seconds, as now()), or NEVER
 *   outstanding()            replies that have not come
 * and calls measure(). Warm-up and window follow one another without a pause; only what comes inside the window
 * counts. Then nothing new is sent, and all that is outstanding has to come within STALL seconds.
 *
 * With --server-pid (one or more, by commas) the CPU time of these processes over the window is reported: all threads,
 * those that have ended too (the process clock). With --server-core (likewise) also how long these cores were busy with
 * anything else, or taken away by the host (/proc/stat, to a hundredth of a second).
 *
 * One JSON object on one line goes to stdout. Exit codes: 0 all replies right; 1 a wrong, missing or surplus reply, or
 * a connection closed early ("error" says what); 2 usage; 3 could not connect or set up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SHARED static __attribute__((unused))
#define NEVER INFINITY
#define PROGRAM (program_invocation_short_name)

enum { MAX_EVENTS = 512, HEADER = 16 };
typedef enum { WHOLE, DECIMAL, TEXT, FLAG } option_kind;

typedef struct {
    const char *name;
    option_kind kind;
    void *value; /* long, double, const char *, or int */
    double low, high;
} option_spec;

typedef struct {
    double wall, own_cpu;
    double server_cpu; /* seconds; negative where the kernel does not tell */
    double cores_busy; /* seconds, of the server's cores together */
    uint64_t messages, bytes;
} snapshot;

static int on_event(void *what, uint32_t events);
static double on_turn(double t);
static uint64_t outstanding(void);

static const char *host = "127.0.0.1", *server_pids = "", *server_cores = "";
static long port;
static double warmup = 0.5, duration = 2.0, stall = 5.0;

static int epoll_fd = -1, stopping, gave_up;
static uint64_t total_messages, total_bytes;
static snapshot from, to;
static char error[256];

#define COMMON_OPTIONS                                                                                    \
    {"host", TEXT, &host, 0, 0}, {"port", WHOLE, &port, 1, 65535}, {"warmup", DECIMAL, &warmup, 0, 3600}, \
        {"duration", DECIMAL, &duration, 0.01, 3600}, {"stall", DECIMAL, &stall, 0.01, 3600},             \
        {"server-pid", TEXT, &server_pids, 0, 0}, {"server-core", TEXT, &server_cores, 0, 0}, { 0 }

/* ---- faults ---- */

SHARED int fail(const char *format, ...) {
    if (!error[0]) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error, sizeof error, format, arguments);
        va_end(arguments);
        for (char *c = error; *c; c++)
            if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = '\''; /* it becomes a JSON string */
    }
    return -1;
}

SHARED void die(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", PROGRAM);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

SHARED void *must(void *memory) {
    if (!memory) die(3, "out of memory");
    return memory;
}

SHARED int would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* ---- options ---- */

SHARED void read_options(int argc, char **argv, const option_spec *specs) {
    for (int i = 1; i < argc; i++) {
        const option_spec *spec = specs;
        while (spec->name && (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, spec->name))) spec++;
        if (!spec->name) die(2, "unexpected argument '%s'", argv[i]);
        if (spec->kind == FLAG) {
            *(int *)spec->value = 1;
            continue;
        }
        if (++i == argc) die(2, "--%s needs a value", spec->name);
        char *end;
        double value = strtod(argv[i], &end);
        if (spec->kind == TEXT)
            *(const char **)spec->value = argv[i];
        else if (*argv[i] == '\0' || *end || !(value >= spec->low && value <= spec->high))
            die(2, "--%s must be a number from %.12g to %.12g, not '%s'", spec->name, spec->low, spec->high, argv[i]);
        else if (spec->kind == WHOLE)
            *(long *)spec->value = (long)value;
        else
            *(double *)spec->value = value;
    }
    if (!port) die(2, "--port is missing");
}

/* ---- clocks ---- */

SHARED double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void look_at_process(long pid, snapshot *s) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &t)) return;
    if (s->server_cpu < 0) s->server_cpu = 0;
    s->server_cpu += (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void look_at_core(long core, snapshot *s) { /* proc_stat(5): all but idle and iowait */
    char line[512], name[32];
    double user, nice, system, irq, softirq, steal;
    FILE *file = fopen("/proc/stat", "r");
    int length = snprintf(name, sizeof name, "cpu%ld ", core);
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, (size_t)length) &&
            sscanf(line + length, "%lf %lf %lf %*f %*f %lf %lf %lf", &user, &nice, &system, &irq, &softirq, &steal) == 6)
            s->cores_busy += (user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
    if (file) fclose(file);
}

static void look_at_each(const char *option, const char *numbers, void (*look)(long, snapshot *), snapshot *s) {
    while (*numbers) {
        char *end;
        long number = strtol(numbers, &end, 10);
        if (end == numbers || number < 0) die(2, "--%s must be numbers with commas between, not '%s'", option, numbers);
        look(number, s);
        numbers = *end ? end + 1 : end;
    }
}

static snapshot take(void) {
    struct timespec own;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    snapshot s = {.wall = now(), .messages = total_messages, .bytes = total_bytes, .server_cpu = -1};
    s.own_cpu = (double)own.tv_sec + (double)own.tv_nsec * 1e-9;
    look_at_each("server-pid", server_pids, look_at_process, &s);
    look_at_each("server-core", server_cores, look_at_core, &s);
    return s;
}

/* ---- latencies: log-linear buckets of nanoseconds, as HdrHistogram has them, none wider than 1/128 of its value ---- */

enum { SUB_BITS = 7, SUB = 1 << SUB_BITS, BUCKETS = 40 * SUB };
static uint64_t latencies[BUCKETS], latency_count;
static double latency_max, latency_sum;

SHARED void record_latency(double seconds, uint64_t count) {
    if (seconds < 0) seconds = 0;
    uint64_t value = (uint64_t)(seconds * 1e9);
    int shift = value < SUB ? 0 : 63 - __builtin_clzll(value) - SUB_BITS;
    size_t index = value < SUB ? value : (size_t)(shift + 1) * SUB + ((value >> shift) - SUB);
    latencies[index < BUCKETS ? index : BUCKETS - 1] += count;
    latency_count += count;
    latency_sum += seconds * (double)count;
    if (seconds > latency_max) latency_max = seconds;
}

/* Microseconds that the fraction `part` of all were not above. */
static double latency_at(double part) {
    uint64_t wanted = (uint64_t)ceil(part * (double)latency_count), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        if ((seen += latencies[i]) < wanted || !seen) continue;
        int shift = i < SUB ? 0 : (int)(i / SUB) - 1;
        double top = i < SUB ? (double)i + 1 : (double)((i % SUB + SUB + 1) << shift);
        return fmin(top * 1e-3, latency_max * 1e6);
    }
    return latency_max * 1e6;
}

static void forget_latencies(void) {
    memset(latencies, 0, sizeof latencies);
    latency_count = 0;
    latency_max = latency_sum = 0;
}

/* ---- sockets ---- */

SHARED void raise_files(void) {
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

SHARED struct sockaddr_in target(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(2, "--host must be an IPv4 address, not '%s'", host);
    return address;
}

/* A TCP connection that blocks, until no_wait() says otherwise. */
SHARED int open_tcp(const struct sockaddr_in *address, uint32_t index) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die(3, "connection %u: socket: %s", index, strerror(errno));
    if (connect(fd, (const struct sockaddr *)address, sizeof *address))
        die(3, "connection %u: cannot connect to %s:%ld: %s", index, host, port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

SHARED void no_wait(int fd) { fcntl(fd, F_SETFL, O_NONBLOCK); }

SHARED void send_whole(int fd, const void *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0) die(3, "cannot send: %s", strerror(errno));
        sent += (size_t)n;
    }
}

SHARED int watch_fd(int fd, void *what, uint32_t events, int already) {
    struct epoll_event event = {.events = events, .data.ptr = what};
    if (epoll_fd < 0 && (epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die(3, "epoll_create1: %s", strerror(errno));
    if (epoll_ctl(epoll_fd, already ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event))
        return fail("epoll_ctl: %s", strerror(errno));
    return 0;
}

/* ---- the payload: "0001A2B:000003F:", a message's number and its connection's, in hexadecimal; then A to Z ---- */

SHARED void write_header(char *out, uint32_t number, uint32_t index) {
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 6; i >= 0; i--, number >>= 4, index >>= 4) {
        out[i] = digits[number & 15];
        out[i + 8] = digits[index & 15];
    }
    out[7] = out[15] = ':';
}

SHARED char *make_filler(size_t size) {
    char *filler = must(malloc(size + 1));
    for (size_t i = 0; i < size; i++) filler[i] = (char)('A' + i % 26);
    return filler;
}

SHARED size_t first_difference(const char *seen, const char *expected) {
    size_t at = 0;
    while (seen[at] == expected[at]) at++;
    return at;
}

/* ---- the loop ---- */

static int wait_for_events(double timeout) {
    struct epoll_event events[MAX_EVENTS];
    struct timespec limit = {.tv_sec = (time_t)timeout, .tv_nsec = (long)((timeout - floor(timeout)) * 1e9)};
    int n = epoll_pwait2(epoll_fd, events, MAX_EVENTS, &limit, NULL);
    if (n < 0 && errno != EINTR) return fail("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        if (on_event(events[i].data.ptr, events[i].events)) return -1;
    return 0;
}

/* Serve events until `until`, or (when stopping) until nothing is outstanding. */
static int run_until(double until) {
    double t = now(), progress_at = t;
    uint64_t progress = total_messages + total_bytes;
    while (stopping ? outstanding() > 0 : t < until) {
        double due = on_turn(t), left = stopping ? 0.1 : until - t;
        if (error[0]) return -1;
        left = fmin(fmin(left, 0.1), due - t);
        if (wait_for_events(left > 0 ? left : 0)) return -1;
        t = now();
        if (total_messages + total_bytes != progress || !outstanding()) {
            progress = total_messages + total_bytes;
            progress_at = t;
        } else if (t - progress_at > stall) {
            gave_up = 1;
            return fail("no reply for %g s, %llu outstanding", stall, (unsigned long long)outstanding());
        }
    }
    return 0;
}

SHARED int measure(void) {
    prctl(PR_SET_TIMERSLACK, 1UL); /* 50 us otherwise, by which an open loop would be late */
    from = to = take();
    if (run_until(now() + warmup)) return -1;
    forget_latencies();
    from = to = take();
    double until = from.wall + duration;
    do { /* on a machine that is not idle a short window can pass without one message: then it is longer */
        if (run_until(until)) return -1;
        to = take();
        until = to.wall + 0.05;
    } while (to.messages == from.messages && to.bytes == from.bytes && to.wall < from.wall + duration + stall);
    stopping = 1;
    return run_until(0);
}

/* Begins the JSON object; the program adds pairs of its own, each followed by ", ", and calls end_report(). */
SHARED void begin_report(void) {
    printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"verified\": %llu, \"load_cpu_seconds\": %.6f, ",
           (unsigned long long)(to.messages - from.messages), (unsigned long long)(to.bytes - from.bytes),
           to.wall - from.wall, (unsigned long long)total_messages, to.own_cpu - from.own_cpu);
    double server = to.server_cpu - from.server_cpu;
    if (from.server_cpu >= 0 && to.server_cpu >= 0)
        printf("\"server_cpu_seconds\": %.6f, \"disturbed_seconds\": %.6f, ", server,
               fmax(0, to.cores_busy - from.cores_busy - server));
    else
        printf("\"server_cpu_seconds\": null, \"disturbed_seconds\": null, ");
    static const struct { const char *name; double part; } points[] = {
        {"p50", .5}, {"p75", .75}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}, {"p99.99", .9999}};
    printf("\"latency_us\": {");
    for (size_t i = 0; latency_count && i < sizeof points / sizeof *points; i++)
        printf("\"%s\": %.2f, ", points[i].name, latency_at(points[i].part));
    if (latency_count)
        printf("\"mean\": %.2f, \"max\": %.2f", latency_sum / (double)latency_count * 1e6, latency_max * 1e6);
    printf("}, ");
}

SHARED int end_report(int failed) {
    if (failed)
        printf("\"error\": \"%s\"}\n", error[0] ? error : "unknown");
    else
        printf("\"error\": null}\n");
    return failed ? 1 : 0;
}

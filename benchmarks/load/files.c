/* Load for servers of files: the same file again and again over connections that stay open.
 *
 *   files --port N --name NAME --size BYTES [--protocol aionet|http] [--connections 1] [--tls] and what measure.h has
 *   files --port N --name NAME --size BYTES --upload DIGEST [--connections 1] and what measure.h has
 *
 * Downloads: one request in flight a connection. The file must be SIZE bytes long and hold the pattern of pattern() below;
 * every byte that comes is compared. Uploads (aionet only): PUT of that pattern under NAME-INDEX, then COMMIT with DIGEST,
 * the BLAKE3 of the whole content in hexadecimal; counted when COMMIT is answered.
 *
 * "messages" are whole files, "bytes" what came of them (downloads: also of unfinished ones), latencies are from request
 * to last byte. An unfinished download is dropped at the end: 1 GiB need not be waited for.
 */
#include "link.h"

enum { CHUNK = 256 * 1024, PERIOD = 65521 };

typedef struct {
    link_to link;
    uint32_t index;
    char head[1024]; /* of the reply, as far as it has come */
    size_t have;
    uint64_t left, at; /* bytes of content that are missing, and the place of the next */
    int in_content;
    char request[1024]; /* upload: header of PUT, later COMMIT */
    size_t request_size, request_sent;
    uint32_t number;
    enum { DOWNLOAD, PUT, COMMIT } stage;
    double begun_at;
} connection;

static const char *protocol = "aionet", *name = "", *upload = "";
static long connections = 1;
static double size; /* whole bytes; a double, because options above 2^31 are */

static connection *all;
static char *expected, *buffer;
static uint64_t file_size, unfinished;

/* Byte i is 'a' + (i % PERIOD) % 23: a prime period, so that a part in a wrong place is seen. */
static void pattern(void) {
    expected = must(malloc(PERIOD + CHUNK));
    buffer = must(malloc(CHUNK));
    for (size_t i = 0; i < PERIOD + CHUNK; i++) expected[i] = (char)('a' + i % PERIOD % 23);
}

/* ---- downloads ---- */

static int ask(connection *c) {
    int n;
    if (!strcmp(protocol, "http"))
        n = snprintf(c->request, sizeof c->request, "GET /%s HTTP/1.1\r\nHost: %s:%ld\r\n\r\n", name, host, port);
    else
        n = snprintf(c->request, sizeof c->request, "GET;hash=blake3 %s\n", name);
    if (n >= (int)sizeof c->request) return fail("the name is too long");
    c->have = 0;
    c->in_content = 0;
    c->begun_at = now();
    unfinished++;
    return transmit(&c->link, c->request, (size_t)n) == n ? 0 : fail("send: %s", strerror(errno));
}

/* Where the content begins, once the head is whole; NULL before. */
static const char *end_of_head(connection *c) {
    const char *mark = !strcmp(protocol, "http") ? "\r\n\r\n" : "\n";
    const char *end = memmem(c->head, c->have, mark, strlen(mark));
    return end ? end + strlen(mark) : NULL;
}

static int understand(connection *c, const char *end) {
    unsigned long long length = 0;
    const char *field = NULL;
    char saved = *(c->head + (end - c->head) - 1);
    c->head[end - c->head - 1] = '\0';
    if (!strcmp(protocol, "http")) {
        if (strncmp(c->head, "HTTP/1.1 200", 12)) return fail("the server said '%.60s'", c->head);
        field = strcasestr(c->head, "\ncontent-length:");
        if (!field || sscanf(field + 16, "%llu", &length) != 1) return fail("no Content-Length in the answer");
    } else if (sscanf(c->head, "OK %llu", &length) != 1) {
        return fail("the server said '%.60s'", c->head);
    }
    c->head[end - c->head - 1] = saved;
    if (length != file_size) return fail("the file has %llu bytes, not %llu", length, (unsigned long long)file_size);
    c->left = length;
    c->at = 0;
    c->in_content = 1;
    return 0;
}

static int content(connection *c, const char *data, size_t length) {
    if (length > c->left) return fail("more bytes came than the file has");
    const char *right = expected + c->at % PERIOD;
    if (memcmp(data, right, length))
        return fail("byte %llu of the file is wrong", (unsigned long long)(c->at + first_difference(data, right)));
    c->left -= length;
    c->at += length;
    total_bytes += length;
    if (c->left) return 0;
    record_latency(now() - c->begun_at, 1);
    total_messages++;
    unfinished--;
    return stopping ? 0 : ask(c);
}

static int receive_head(connection *c) {
    ssize_t n = receive(&c->link, c->head + c->have, sizeof c->head - 1 - c->have);
    if (n < 0 && would_block()) return 0;
    if (n <= 0) return fail("connection %u: %s", c->index, n ? strerror(errno) : "closed by the server");
    c->have += (size_t)n;
    c->head[c->have] = '\0';
    const char *end = end_of_head(c);
    if (!end) return c->have < sizeof c->head - 1 ? 0 : fail("the head of the answer has no end");
    if (understand(c, end)) return -1;
    size_t extra = (size_t)(c->head + c->have - end);
    return extra || !c->left ? content(c, end, extra) : 0;
}

static int receive_content(connection *c) {
    ssize_t n = receive(&c->link, buffer, CHUNK);
    if (n < 0 && would_block()) return 0;
    if (n <= 0)
        return fail("connection %u: %s, %llu bytes missing", c->index, n ? strerror(errno) : "closed by the server",
                    (unsigned long long)c->left);
    return content(c, buffer, (size_t)n);
}

/* Read once; under TLS until nothing is left. */
static int download(connection *c) {
    do {
        errno = 0;
        if (c->in_content ? receive_content(c) : receive_head(c)) return -1;
    } while (tls && errno != EAGAIN);
    return 0;
}

/* ---- uploads ---- */

static int request(connection *c, int stage) {
    unsigned long long total = file_size;
    const char *verb = stage == PUT ? "PUT;hash=blake3;offset=0;size=" : "COMMIT;hash=blake3;digest=";
    char subject[128];
    snprintf(subject, sizeof subject, "%.100s", upload);
    if (stage == PUT) snprintf(subject, sizeof subject, "%llu", total);
    int n = snprintf(c->request, sizeof c->request, "%s%s;upload=b%u-%u;total=%llu %s-%u\n", verb, subject, c->index,
                     c->number, total, name, c->index);
    if (n >= (int)sizeof c->request) return fail("the name is too long");
    c->request_size = (size_t)n;
    c->request_sent = 0;
    c->stage = stage;
    c->have = 0;
    c->left = stage == PUT ? file_size : 0;
    c->at = 0;
    return watch_fd(c->link.fd, c, EPOLLIN | EPOLLOUT, 1);
}

static int begin_upload(connection *c) {
    c->begun_at = now();
    unfinished++;
    return request(c, PUT);
}

static int push(connection *c) {
    ssize_t n;
    if (c->request_sent < c->request_size) {
        n = transmit(&c->link, c->request + c->request_sent, c->request_size - c->request_sent);
        if (n > 0) c->request_sent += (size_t)n;
    } else if (c->left) {
        n = transmit(&c->link, expected + c->at % PERIOD, c->left < CHUNK ? (size_t)c->left : CHUNK);
        if (n > 0) {
            c->left -= (uint64_t)n;
            c->at += (uint64_t)n;
            total_bytes += (uint64_t)n;
        }
    } else {
        return watch_fd(c->link.fd, c, EPOLLIN, 1);
    }
    return n < 0 && !would_block() ? fail("connection %u: send: %s", c->index, strerror(errno)) : 0;
}

static int answered(connection *c) {
    ssize_t n = receive(&c->link, c->head + c->have, sizeof c->head - 1 - c->have);
    if (n < 0 && would_block()) return 0;
    if (n <= 0) return fail("connection %u: %s", c->index, n ? strerror(errno) : "closed by the server");
    c->have += (size_t)n;
    c->head[c->have] = '\0';
    if (!end_of_head(c)) return 0;
    if (strncmp(c->head, "OK 0", 4)) return fail("the server said '%.*s'", (int)strcspn(c->head, "\n"), c->head);
    if (c->stage == PUT) return request(c, COMMIT);
    record_latency(now() - c->begun_at, 1);
    total_messages++;
    unfinished--;
    c->number++;
    return stopping ? 0 : begin_upload(c);
}

/* ---- what measure() asks for ---- */

static int on_event(void *what, uint32_t events) {
    connection *c = what;
    if (c->stage == DOWNLOAD) return download(c);
    if ((events & EPOLLOUT) && push(c)) return -1;
    return (events & ~(uint32_t)EPOLLOUT) ? answered(c) : 0;
}

static double on_turn(double t) {
    (void)t;
    return NEVER;
}

static uint64_t outstanding(void) { return stopping && !*upload && file_size > (1 << 24) ? 0 : unfinished; }

int main(int argc, char **argv) {
    const option_spec options[] = {{"name", TEXT, &name, 0, 0},
                                   {"size", DECIMAL, &size, 0, 1e13},
                                   {"protocol", TEXT, &protocol, 0, 0},
                                   {"upload", TEXT, &upload, 0, 0},
                                   {"connections", WHOLE, &connections, 1, 10000},
                                   {"tls", FLAG, &tls, 0, 0},
                                   COMMON_OPTIONS};
    read_options(argc, argv, options);
    if (strcmp(protocol, "aionet") && strcmp(protocol, "http"))
        die(2, "--protocol is 'aionet' or 'http', not '%s'", protocol);
    if (!*name) die(2, "--name is missing");
    file_size = (uint64_t)size;
    pattern();
    raise_files();
    struct sockaddr_in address = target();
    int failed = 0;
    all = must(calloc((size_t)connections, sizeof *all));
    for (long i = 0; i < connections && !failed; i++) {
        all[i].index = (uint32_t)i;
        open_link(&all[i].link, &address, all[i].index);
        no_wait(all[i].link.fd);
        failed = watch_fd(all[i].link.fd, &all[i], EPOLLIN, 0) || (*upload ? begin_upload(&all[i]) : ask(&all[i]));
    }
    failed = failed || measure();
    begin_report();
    return end_report(failed);
}

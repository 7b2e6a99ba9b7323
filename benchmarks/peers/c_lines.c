/* The limit of framed echo: C over epoll that finds each line, bounds it, calls a handler for it, and sends what all the
 * handlers of one chunk answered by one system call.
 *
 *   c_lines [--port N] [--framing lines|length]      length: four bytes, most significant first, before each message
 */
#define CONNECTION_STATE \
    char *tail;          \
    size_t tail_size;
#include "c_server.h"

enum { MAX_MESSAGE = 64 * 1024 };

typedef size_t handler(const char *message, size_t size, char *reply);

static char in[BUFFER + MAX_MESSAGE + 4], out[BUFFER + MAX_MESSAGE + 4];
static int by_length;

static size_t on_line(const char *message, size_t size, char *reply) {
    memcpy(reply, message, size);
    reply[size] = '\n';
    return size + 1;
}

static size_t on_counted(const char *message, size_t size, char *reply) {
    uint32_t length = htonl((uint32_t)size);
    memcpy(reply, &length, 4);
    memcpy(reply + 4, message, size);
    return size + 4;
}

static handler *volatile on_message = on_line; /* a call that the compiler cannot see through, as a handler's is */

/* The message at the front of `size` bytes: its bytes, and behind it `*rest`; NULL if it is not whole. */
static const char *next_message(const char *at, size_t size, size_t *length, const char **rest) {
    if (!by_length) {
        const char *end = memchr(at, '\n', size);
        if (!end) return NULL;
        *length = (size_t)(end - at);
        *rest = end + 1;
        return at;
    }
    uint32_t announced;
    if (size < 4) return NULL;
    memcpy(&announced, at, 4);
    *length = ntohl(announced);
    if (*length > MAX_MESSAGE || size - 4 < *length) return NULL;
    *rest = at + 4 + *length;
    return at + 4;
}

static void keep_tail(connection *c, const char *data, size_t size) {
    free(c->tail);
    c->tail = NULL;
    c->tail_size = size;
    if (!size) return;
    c->tail = size <= MAX_MESSAGE + 4 ? malloc(size) : NULL;
    if (c->tail)
        memcpy(c->tail, data, size);
    else
        drop(c);
}

static void on_readable(connection *c) {
    if (c->tail_size) memcpy(in, c->tail, c->tail_size);
    size_t n = read_some(c, in + c->tail_size, BUFFER), size = c->tail_size + n, length, answered = 0;
    const char *at = in, *end = in + size, *message, *rest;
    if (!n) {
        if (c->dropped) free(c->tail);
        return;
    }
    while ((message = next_message(at, (size_t)(end - at), &length, &rest))) {
        answered += on_message(message, length, out + answered);
        at = rest;
    }
    keep_tail(c, at, (size_t)(end - at));
    if (answered && !c->dropped) send_or_keep(c, out, answered);
}

int main(int argc, char **argv) {
    const char *framing = option(argc, argv, "framing");
    by_length = framing && !strcmp(framing, "length");
    if (by_length) on_message = on_counted;
    serve(port_option(argc, argv));
}

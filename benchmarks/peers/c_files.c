/* The limit of file service: C over epoll and sendfile(2), the whole file straight from the page cache.
 *
 *   c_files --directory DIR [--port N]
 *
 * Speaks as much of our own file protocol as the measurement asks: "GET[;...] NAME\n" is answered by "OK SIZE\n" and the bytes.
 */
#define CONNECTION_STATE \
    off_t at, end;       \
    char line[512];      \
    size_t have;
#define RESUME(c) send_file(c)
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
struct connection;
static int send_file(struct connection *c);
#include "c_server.h"

enum { AT_ONCE = 1 << 20 }; /* bytes a turn: others wait meanwhile */

/* The file asked for last stays open, as in nginx with its open_file_cache. */
static char known[512];
static int file = -1;
static off_t size;

static int look_up(const char *name) {
    struct stat facts;
    if (!strcmp(name, known)) return 1;
    int fd = strchr(name, '/') ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts)) return 0;
    close(file); /* one file a measurement: nobody else is being sent it */
    file = fd;
    size = facts.st_size;
    strcpy(known, name);
    return 1;
}

/* Send a part of the file; whether more is to come. */
static int send_file(connection *c) {
    if (c->at == c->end) return 0;
    off_t left = c->end - c->at;
    ssize_t n = sendfile(c->fd, file, &c->at, (size_t)(left < AT_ONCE ? left : AT_ONCE));
    if (n == 0 || (n < 0 && !would_block())) {
        drop(c);
        return 1;
    }
    if (c->at < c->end) watch(c, EPOLLOUT);
    return c->at < c->end;
}

static void answer(connection *c, const char *name) {
    char head[64];
    if (!look_up(name)) {
        send_or_keep(c, "ERR NOT_FOUND\n", 14);
        return;
    }
    c->at = 0;
    c->end = size;
    int n = snprintf(head, sizeof head, "OK %lld\n", (long long)size), more = size ? MSG_MORE : 0;
    if (send(c->fd, head, (size_t)n, MSG_NOSIGNAL | more) == n)
        send_file(c);
    else
        drop(c);
}

static void on_readable(connection *c) {
    size_t n = read_some(c, c->line + c->have, sizeof c->line - 1 - c->have);
    if (!n) return;
    c->have += n;
    char *end = memchr(c->line, '\n', c->have);
    char *space = memchr(c->line, ' ', c->have); /* options stand before it, and are passed over */
    if (!end || !space || strncmp(c->line, "GET", 3) || (size_t)(end - c->line) + 1 != c->have) {
        if (end || c->have == sizeof c->line - 1) drop(c);
        return;
    }
    *end = '\0';
    c->have = 0;
    answer(c, space + 1);
}

int main(int argc, char **argv) {
    const char *directory = option(argc, argv, "directory");
    if (!directory || chdir(directory)) die("--directory");
    serve(port_option(argc, argv));
}

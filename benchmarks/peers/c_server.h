/* What the C servers have in common: a socket that listens, and one loop over epoll for all connections.
 *
 * A program includes this file and defines on_readable(c): something came for this connection. It answers through
 * send_or_keep(), after which a connection whose output waits is not read until that is gone; and drop(), after which
 * c is gone. Defined before: CONNECTION_STATE keeps more in a connection, RESUME(c) goes on once output is gone (and says
 * whether there is more), AFTER_TURN is done after each turn of the loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARED static __attribute__((unused))
#ifndef CONNECTION_STATE
#define CONNECTION_STATE
#endif
#ifndef AFTER_TURN
#define AFTER_TURN
#endif
#ifndef RESUME
#define RESUME(c) 0
#endif

enum { BUFFER = 64 * 1024, MAX_EVENTS = 512, BACKLOG = 4096 };

typedef struct connection {
    int fd, dropped;
    uint32_t events; /* what epoll watches for */
    char *waiting; /* what could not be written, from `from` to `to`; NULL nearly always */
    size_t from, to;
    struct connection *next_dropped;
    CONNECTION_STATE
} connection;

static int epoll_fd;
static connection *dropped;

static void on_readable(connection *c);

SHARED void die(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(3);
}

/* Freed at the end of the turn: an event of this turn may still name it. */
SHARED void drop(connection *c) {
    if (c->dropped) return;
    c->dropped = 1;
    close(c->fd);
    free(c->waiting);
    c->next_dropped = dropped;
    dropped = c;
}

SHARED void watch(connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->events != events) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->events = events;
}

SHARED int would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* Read at most `room` bytes: how many; 0 for none now, or for a connection that ended and was dropped. */
SHARED size_t read_some(connection *c, char *into, size_t room) {
    ssize_t n = recv(c->fd, into, room, 0);
    if (n > 0) return (size_t)n;
    if (n == 0 || !would_block()) drop(c);
    return 0;
}

/* Send behind what waits; what the socket does not take is copied and waits. */
SHARED void send_or_keep(connection *c, const char *data, size_t size) {
    size_t sent = 0;
    if (!c->waiting) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && !would_block()) {
            drop(c);
            return;
        }
        sent = n > 0 ? (size_t)n : 0;
        if (sent == size) return;
    }
    size_t kept = c->waiting ? c->to - c->from : 0;
    char *all = malloc(kept + size - sent);
    if (!all) {
        drop(c);
        return;
    }
    if (kept) memcpy(all, c->waiting + c->from, kept);
    memcpy(all + kept, data + sent, size - sent);
    free(c->waiting);
    c->waiting = all;
    c->from = 0;
    c->to = kept + size - sent;
    watch(c, EPOLLOUT);
}

SHARED void on_writable(connection *c) {
    ssize_t sent = c->waiting ? send(c->fd, c->waiting + c->from, c->to - c->from, MSG_NOSIGNAL) : 0;
    if (sent < 0 && would_block()) return;
    if (sent < 0) {
        drop(c);
        return;
    }
    c->from += (size_t)sent;
    if (c->waiting && c->from < c->to) return;
    free(c->waiting);
    c->waiting = NULL;
    c->from = c->to = 0;
    if (!RESUME(c)) watch(c, EPOLLIN);
}

SHARED void accept_all(int listener) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        connection *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (!c) die("out of memory");
        c->fd = fd;
        c->events = EPOLLIN;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) drop(c);
    }
}

SHARED void serve_turn(int listener) {
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        connection *c = events[i].data.ptr;
        if (!c)
            accept_all(listener);
        else if (c->dropped)
            continue;
        else if (events[i].events & EPOLLOUT)
            on_writable(c);
        else
            on_readable(c);
    }
    while (dropped) {
        connection *c = dropped;
        dropped = c->next_dropped;
        free(c);
    }
}

/* A bound socket of 127.0.0.1, and the line that says where. */
SHARED int bound(int type, int port) {
    int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC | (type == SOCK_STREAM ? SOCK_NONBLOCK : 0), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (type == SOCK_STREAM && listen(fd, BACKLOG)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length)) die("getsockname");
    printf("ready 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Serve for ever on 127.0.0.1:PORT; 0 lets the system choose. AFTER_TURN, where there is one, follows each turn. */
SHARED void serve(int port) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int listener = bound(SOCK_STREAM, port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    for (;;) {
        serve_turn(listener);
        AFTER_TURN;
    }
}

/* The value of --NAME on the command line, or NULL; "" for an option without one. */
SHARED const char *option(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, name)) return i + 1 < argc ? argv[i + 1] : "";
    return NULL;
}

SHARED int port_option(int argc, char **argv) {
    const char *port = option(argc, argv, "port");
    return port ? atoi(port) : 0;
}

/* The limit: an echo server in C over epoll, one thread. What Python servers are compared with.
 *
 *   echo_server [--port N]        listens on 127.0.0.1; 0, the default, lets the system choose
 *
 * Prints "ready 127.0.0.1:PORT" when it listens. Reads up to 64 KiB at a time into one shared buffer and writes it
 * back at once; what the socket does not take is kept, and that connection is not read until it is gone.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, MAX_EVENTS = 512, BACKLOG = 4096 };

typedef struct {
    int fd;
    char *waiting; /* what could not be written, from `from` to `to`; NULL nearly always */
    size_t from, to;
} connection;

static int epoll_fd;
static char buffer[BUFFER];

static void die(const char *what) {
    fprintf(stderr, "echo_server: %s: %s\n", what, strerror(errno));
    exit(3);
}

static void drop(connection *c) {
    close(c->fd);
    free(c->waiting);
    free(c);
}

static void watch(connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static int would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static void on_readable(connection *c) {
    ssize_t n = recv(c->fd, buffer, BUFFER, 0);
    if (n == 0 || (n < 0 && !would_block())) {
        drop(c);
        return;
    }
    if (n < 0) return;
    ssize_t sent = send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n) return;
    if (sent < 0 && !would_block()) {
        drop(c);
        return;
    }
    if (sent < 0) sent = 0;
    c->waiting = malloc((size_t)(n - sent));
    if (!c->waiting) {
        drop(c);
        return;
    }
    memcpy(c->waiting, buffer + sent, (size_t)(n - sent));
    c->from = 0;
    c->to = (size_t)(n - sent);
    watch(c, EPOLLOUT);
}

static void on_writable(connection *c) {
    ssize_t sent = send(c->fd, c->waiting + c->from, c->to - c->from, MSG_NOSIGNAL);
    if (sent < 0 && would_block()) return;
    if (sent < 0) {
        drop(c);
        return;
    }
    c->from += (size_t)sent;
    if (c->from < c->to) return;
    free(c->waiting);
    c->waiting = NULL;
    watch(c, EPOLLIN);
}

static void accept_all(int listener) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        connection *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (!c) die("out of memory");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) drop(c);
    }
}

static int listen_on(int port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (listen(fd, BACKLOG)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length)) die("getsockname");
    printf("ready 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    struct epoll_event events[MAX_EVENTS];
    int port = argc == 3 && !strcmp(argv[1], "--port") ? atoi(argv[2]) : 0;
    if (argc != 1 && (argc != 3 || strcmp(argv[1], "--port"))) {
        fputs("usage: echo_server [--port N]\n", stderr);
        return 2;
    }
    int listener = listen_on(port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!c)
                accept_all(listener);
            else if (c->waiting)
                on_writable(c);
            else
                on_readable(c);
        }
    }
}

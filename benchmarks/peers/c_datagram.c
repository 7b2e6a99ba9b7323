/* The limit of datagram echo in C, one thread.
 *
 *   c_datagram [--port N] [--way batch|single|offload]
 *
 * batch (the default): recvmmsg and sendmmsg, 64 at a time. single: recvfrom and sendto, one datagram a call, as most servers
 * are written. offload: what the kernel joined (UDP_GRO) goes back as one buffer that it cuts again (UDP_SEGMENT).
 */
#include "c_server.h"
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { BATCH = 64, LARGEST = 65536, DATAGRAM = 2048, SOCKET_BUFFER = 4 << 20 };

static char buffer[LARGEST];

static void on_readable(connection *c) { (void)c; } /* there are no connections */

static void one_by_one(int fd) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    ssize_t n = recvfrom(fd, buffer, LARGEST, 0, (struct sockaddr *)&peer, &length);
    if (n >= 0) sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer, length);
}

static void in_batches(int fd) {
    static char data[BATCH][DATAGRAM];
    static struct sockaddr_in addresses[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){data[i], DATAGRAM};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &addresses[i], .msg_namelen = sizeof *addresses, .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) parts[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < n;) {
        int m = sendmmsg(fd, messages + sent, (unsigned)(n - sent), 0);
        sent += m > 0 ? m : 1; /* one that cannot be sent is dropped, as datagrams are */
    }
}

static void joined(int fd) {
    char control[CMSG_SPACE(sizeof(int))], out_control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct sockaddr_in peer;
    struct iovec part = {buffer, LARGEST};
    struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, 0);
    int segment = 0;
    if (n < 0) return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) memcpy(&segment, CMSG_DATA(c), sizeof segment);
    part.iov_len = (size_t)n;
    message.msg_control = segment && segment < n ? out_control : NULL;
    message.msg_controllen = message.msg_control ? sizeof out_control : 0;
    if (message.msg_control) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        uint16_t size = (uint16_t)segment;
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    sendmsg(fd, &message, 0);
}

int main(int argc, char **argv) {
    int on = 1, size = SOCKET_BUFFER, fd = bound(SOCK_DGRAM, port_option(argc, argv));
    const char *way = option(argc, argv, "way");
    void (*answer)(int) = in_batches;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (way && !strcmp(way, "single")) answer = one_by_one;
    if (way && !strcmp(way, "offload")) {
        answer = joined;
        if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on)) die("UDP_GRO");
    }
    for (;;) answer(fd);
}

/* The limit of fan-out: C over epoll. "SUB\n" makes a member; any other line goes to all members. What came in one turn
 * leaves as one write a member.
 *
 *   c_fanout [--port N]
 */
#define CONNECTION_STATE \
    int is_member;       \
    struct connection *previous, *next;
#define AFTER_TURN tell_all()
static void tell_all(void);
#include "c_server.h"

enum { ROOM = 1 << 20 };

static char buffer[BUFFER], said[ROOM];
static size_t said_size;
static connection members = {.previous = &members, .next = &members};

static void leave(connection *c) {
    c->previous->next = c->next;
    c->next->previous = c->previous;
    c->is_member = 0;
}

static void join(connection *c) {
    c->is_member = 1;
    c->previous = members.previous;
    c->next = &members;
    c->previous->next = members.previous = c;
    send_or_keep(c, "+OK\n", 4);
}

static void tell_all(void) {
    if (!said_size) return;
    for (connection *c = members.next, *next; c != &members; c = next) {
        next = c->next;
        send_or_keep(c, said, said_size);
        if (c->dropped) leave(c);
    }
    said_size = 0;
}

/* The load sends whole lines; a part of one would end the measurement, which sees every byte. */
static void on_readable(connection *c) {
    size_t n = read_some(c, buffer, BUFFER);
    if (c->dropped && c->is_member) leave(c);
    if (!n) return;
    if (n == 4 && !memcmp(buffer, "SUB\n", 4)) {
        join(c);
        return;
    }
    if (said_size + n > ROOM) tell_all();
    memcpy(said + said_size, buffer, n);
    said_size += n;
}

int main(int argc, char **argv) { serve(port_option(argc, argv)); }

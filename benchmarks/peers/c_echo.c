/* The limit of echo: C over epoll, one thread. What Python servers are compared with.
 *
 *   c_echo [--port N]
 *
 * Reads up to 64 KiB at a time into one shared buffer and writes it back at once.
 */
#include "c_server.h"

static char buffer[BUFFER];

static void on_readable(connection *c) {
    size_t n = read_some(c, buffer, BUFFER);
    if (n) send_or_keep(c, buffer, n);
}

int main(int argc, char **argv) { serve(port_option(argc, argv)); }

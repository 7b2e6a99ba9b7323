/* A byte stream to the server, plain TCP or TLS (compiled with -DTLS): calls as recv and send, 0 for the end.
 *
 * Under TLS an event may stand for more than one read gives, and none tells of what is left: read until EAGAIN.
 */
#include "measure.h"
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

typedef struct {
    int fd;
#ifdef TLS
    SSL *ssl;
#endif
} link_to;

static int tls;

#ifdef TLS
static SSL_CTX *context;

static ssize_t tls_result(link_to *l, int n) {
    if (n > 0) return n;
    switch (SSL_get_error(l->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = errno ? errno : EPROTO; return -1;
    }
}

static ssize_t receive(link_to *l, char *data, size_t room) {
    if (!tls) return recv(l->fd, data, room, 0);
    ERR_clear_error();
    return tls_result(l, SSL_read(l->ssl, data, (int)room));
}

static ssize_t transmit(link_to *l, const char *data, size_t length) {
    if (!tls) return send(l->fd, data, length, MSG_NOSIGNAL);
    ERR_clear_error();
    return tls_result(l, SSL_write(l->ssl, data, (int)length));
}

static void secure(link_to *l, uint32_t index) {
    if (!tls) return;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context) die(3, "cannot set up TLS");
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    l->ssl = SSL_new(context);
    if (!l->ssl || !SSL_set_fd(l->ssl, l->fd) || SSL_connect(l->ssl) != 1)
        die(3, "connection %u: TLS handshake failed: %s", index, ERR_reason_error_string(ERR_get_error()));
}
#else
static ssize_t receive(link_to *l, char *data, size_t room) { return recv(l->fd, data, room, 0); }
static ssize_t transmit(link_to *l, const char *data, size_t size) { return send(l->fd, data, size, MSG_NOSIGNAL); }
static void secure(link_to *l, uint32_t index) {
    (void)l, (void)index;
    if (tls) die(3, "compiled without TLS");
}
#endif

/* Connected, the handshake done; still blocking. */
static void open_link(link_to *l, const struct sockaddr_in *address, uint32_t index) {
    l->fd = open_tcp(address, index);
    secure(l, index);
}

#!/bin/sh
# Install the servers and tools that the measurements run beside us. Debian and Ubuntu; instant when all are here.
#
# Nothing here is needed: a peer that is not installed is named as absent in the tables. So this never fails; it says what is
# missing, and why it could not be installed.
set -u
PATH=$PATH:/usr/sbin:/usr/local/sbin

missing=
want() { # want COMMAND PACKAGE WHAT
    command -v "$1" >/dev/null 2>&1 && return
    missing="$missing $2"
    printf 'bench peers: %s (%s) is missing: %s\n' "$1" "$2" "$3" >&2
}

want cc gcc "the load generators and the limits in C; without it nothing can be measured"
want go golang-go "Go net and crypto/tls"
want mosquitto mosquitto "fan-out"
want nats-server nats-server "fan-out"
want nginx nginx-light "files"
want node nodejs "Node net, tls and dgram"
want redis-server redis-server "fan-out"
want strace strace "system calls a message"
want wget wget "many small files"
if command -v cc >/dev/null 2>&1 && ! echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1; then
    missing="$missing libssl-dev"
    echo "bench peers: the headers of OpenSSL (libssl-dev) are missing: load over TLS" >&2
fi

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "bench peers: there is no apt-get here; install them in your system's way, or do without" >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "bench peers: only root can install them: sudo apt-get install$missing; going on without" >&2
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null || echo "bench peers: apt-get update failed" >&2
# One by one: what a distribution does not have must not keep the others away.
for package in $missing; do
    echo "bench peers: installing $package"
    RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "$package" >/dev/null ||
        echo "bench peers: $package could not be installed; going on without" >&2
done
exit 0

#!/bin/sh
# Install the command-line programs some tests talk to the server with. Debian and Ubuntu; instant when all are here.
#
# Without root nothing is installed: it says what is missing, and the tests that need it are skipped with that reason.
# With CI set that is an error, here and in the tests: a build that skips proves nothing.
set -eu

missing=
want() { # want COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

want aria2c aria2
want chromium chromium
want curl curl
want ip iproute2
want nc netcat-openbsd
want socat socat
want openssl openssl
want telnet telnet
want redis-cli redis-tools
want redis-server redis-server
want strace strace
want wget wget

[ -n "$missing" ] || exit 0

case "${CI:-}" in
    "" | 0 | false) in_ci=no ;;
    *) in_ci=yes ;;
esac

give_up() {
    printf 'test tools: %s\n' "$1" "missing packages:$missing" >&2
    if [ "$in_ci" = yes ]; then
        echo "test tools: CI is set, so this is an error" >&2
        exit 1
    fi
    echo "test tools: going on; the tests that need them will be skipped" >&2
    exit 0
}

if ! command -v apt-get >/dev/null 2>&1; then
    give_up "there is no apt-get here; install what these Debian packages hold in your system's way"
fi
if [ "$(id -u)" -ne 0 ]; then
    give_up "only root can install them: sudo apt-get install$missing"
fi

echo "test tools: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of packages, to be split
if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >/dev/null; then
    give_up "apt-get failed; what it said stands above"
fi

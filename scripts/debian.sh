#!/bin/sh
# Install programs that tests need where they are missing and this is root on a Debian. Elsewhere it changes nothing:
# the tests that need them say that they are left out.
# usage: debian.sh PROGRAM[:PACKAGE]...   (the package is named like the program where it is not said)
set -eu
missing=
for each in "$@"; do
    program=${each%%:*} package=${each#*:}
    PATH="$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)" \
        command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian's$missing …"
    # A server that a package would start is of no use here: tests start their own.
    # shellcheck disable=SC2086 (a list of words)
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >/dev/null 2>&1 || echo "could not install$missing; the tests that need it are left out" >&2
else
    echo "not here:$missing (on Debian: sudo apt-get install$missing); the tests that need it are left out" >&2
fi

#!/bin/sh
# Install programs that tests need, each named like its Debian package, where they are missing and this is root on a
# Debian. Elsewhere it changes nothing: the tests that need them say that they are left out.
# usage: debian.sh PROGRAM...
set -eu
missing=
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian's$missing …"
    # shellcheck disable=SC2086 (a list of words)
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >/dev/null 2>&1 || echo "could not install$missing; the tests that need it are left out" >&2
else
    echo "not here:$missing (on Debian: sudo apt-get install$missing); the tests that need it are left out" >&2
fi

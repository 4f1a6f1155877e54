#!/bin/sh
# Installs what the end-to-end tests talk to besides their own peers: Redis, MariaDB, PostgreSQL,
# slapd, Exim, nginx and HAProxy, clients of all kinds and a browser, ss, ip and nft, and what boots
# guests with a systemd, from Debian's packages. Without root it only says what is missing; the tests
# then say which parts they leave out.
set -eu

missing=""
need() { # need PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}

need redis-server redis-server
need redis-benchmark redis-tools
need mariadbd mariadb-server
need mariadb-slap mariadb-client
need pgbench postgresql-contrib
need nginx nginx
need haproxy haproxy
need curl curl
need wrk wrk
need h2load nghttp2-client
need ab apache2-utils
[ -x /usr/bin/chromium ] || need chromium-headless-shell chromium-headless-shell
need openssl openssl
need ss iproute2
need ip iproute2
need nft nftables
need mmdebstrap mmdebstrap
need systemd-nspawn systemd-container
need strip binutils
need dpkg-parsechangelog dpkg-dev
need slapd slapd
need exim4 exim4-daemon-light
need lintian lintian
need shellcheck shellcheck
need apparmor_parser apparmor
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "missing for the tests with real peers:$missing (install them, or run this as root)" >&2
    exit 0
fi

# The packages' own services are not to start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # one word per package
apt-get install -qq -y --no-install-recommends $missing

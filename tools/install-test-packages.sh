#!/bin/sh
# Brings the Debian programs that the tests use as peers and clients: installs them when run as root, otherwise names
# those that are missing and fails. Does nothing, and needs no network, when all are there.
set -eu

# command:package, one per line. gcc: what -race needs. ip: for tests in network namespaces of their own.
wanted='unbound:unbound
unbound-checkconf:unbound
dig:bind9-dnsutils
delv:bind9-dnsutils
kdig:knot-dnsutils
knotd:knot knot-module-geoip
dnsperf:dnsperf
dnsdist:dnsdist
redis-server:redis-server
redis-cli:redis-tools
memcached:memcached
nsd:nsd
nsd-control:nsd
named:bind9
nsupdate:bind9-dnsutils
ldns-signzone:ldnsutils
openssl:openssl
wat2wasm:wabt
gcc:build-essential
ip:iproute2'

PATH=$PATH:/usr/sbin:/sbin
missing=
IFS='
'
for pair in $wanted; do
	command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
unset IFS
[ -n "$missing" ] || exit 0
# One package may bring several of the commands.
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if [ "$(id -u)" -ne 0 ]; then
	echo "the tests need Debian packages that are not installed: $missing" >&2
	echo "install them as root: apt-get install $missing" >&2
	exit 1
fi

echo "installing $missing"
export DEBIAN_FRONTEND=noninteractive
# invoke-rc.d starts no service in runlevel 1: the tests start their own unbound, the system's would only take port 53.
export RUNLEVEL=1
install() {
	apt-get install -y -q --no-install-recommends $missing </dev/null
}
# The lists of a fresh machine are empty or old; a first attempt is cheap and spares the update where they are good.
install >/dev/null 2>&1 || { apt-get update -q && install; }

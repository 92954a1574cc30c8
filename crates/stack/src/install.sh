# Installs the given Debian packages, and keeps their services from starting, now and at boot.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian runs this script before it starts a service; exit status 101 forbids the start.
# An existing script belongs to the machine and is kept, unless a killed run of this one left it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] || grep -q health-gateway "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n# Written by health-gateway while it installs packages.\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

enabled() {
    find /etc/systemd/system -type l 2> /dev/null || true
}
before=$(enabled)

apt-get update
apt-get -o DPkg::Lock::Timeout=500 install -y --no-install-recommends "$@"

for package in "$@"; do
    if [ -e "/etc/init.d/$package" ]; then
        update-rc.d "$package" disable
    fi
done

# The dependencies of the packages bring services as well: Erlang's port mapper would listen on all addresses after the next boot.
enabled | while read -r link; do
    case "$before" in
        *"$link"*) ;;
        *) rm "$link" ;;
    esac
done

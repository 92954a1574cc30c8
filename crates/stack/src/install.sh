# Installs the Debian packages given as arguments, whose services neither start now nor at the next boot.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian asks this script before it starts a service, and 101 means no.
# One that is there already belongs to the machine and stays, unless a killed run of ours left it.
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

# What they need brings services as well: Erlang's port mapper would listen on every address from the next boot on.
enabled | while read -r link; do
    case "$before" in
        *"$link"*) ;;
        *) rm "$link" ;;
    esac
done

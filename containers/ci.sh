#!/usr/bin/env bash
# The images, really built and run, on a bare Debian machine as root: an engine of its own is installed, started, and stopped by its pid.
# Where CHURN_BASE_IMAGE is not set, a stand-in for python:3.11-slim is made of this Debian's own packages.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d /tmp/churn-engine.XXXXXX)
export DOCKER_HOST="unix://$work/docker.sock"
export CHURN_DOCKER=/usr/bin/docker CHURN_DOCKER_NETWORK=host

stop() {
    if [ -f "$work/pid" ]; then
        pid=$(cat "$work/pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    fi
    umount "$work/exec/netns/default" 2>/dev/null || true
    rm -rf "$work" 2>/dev/null || true
}
trap stop EXIT

if ! [ -x /usr/sbin/dockerd ] || ! [ -x /usr/sbin/debootstrap ]; then
    echo 'installing a docker engine and debootstrap'
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends docker.io debootstrap >/dev/null
fi

# No bridge and no firewall rules: a machine of CI may have neither. Builds use the host's network, steps none.
dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$work/data" --exec-root "$work/exec" \
    --host "$DOCKER_HOST" --pidfile "$work/pid" >"$work/log" 2>&1 &
for _ in $(seq 100); do "$CHURN_DOCKER" info >/dev/null 2>&1 && break; sleep 0.2; done
"$CHURN_DOCKER" info >/dev/null 2>&1 || { echo 'the docker engine did not start:' >&2; tail -5 "$work/log" >&2; exit 1; }

if [ -z "${CHURN_BASE_IMAGE:-}" ]; then
    echo 'making a stand-in for python:3.11-slim'
    # Where this machine gets its own packages from.
    [ -n "$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages')" ] || apt-get update -qq
    source=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sed -n 1p)
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$release" "$work/base" "$source" >"$work/debootstrap.log" 2>&1 ||
        { tail -5 "$work/debootstrap.log" >&2; exit 1; }
    ln -sf python3 "$work/base/usr/bin/python"
    # The machine's own certificates and pip's configuration, so that the Dockerfiles need neither.
    cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/ca-certificates.crt"
    if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$work/base/etc/pip.conf"; fi
    tar -C "$work/base" --create . | "$CHURN_DOCKER" import - python:3.11-slim >/dev/null
    rm -rf "$work/base"
fi

make containers

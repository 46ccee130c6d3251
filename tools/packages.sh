#!/bin/bash
# Installs the Debian 12 packages a task needs, and only those that are missing.
#
#   tools/packages.sh build demo test bench     install these lists
#   . tools/packages.sh; packages_install build  the same from a script
#
# Assumes bash and apt, nothing else.
# SPDX-License-Identifier: Apache-2.0

# What compiles Legatus. node-llhttp carries llhttp's C sources; libglusterfs-dev
# forgets that its .pc file wants uuid-dev.
packages_build=(gcc libc6-dev make meson ninja-build pkg-config libuv1-dev node-llhttp libssl-dev
    libjansson-dev libcap-dev libglusterfs-dev uuid-dev libpcre2-dev)
# What ./demo runs besides: glusterfsd for its brick, mime types, curl.
packages_demo=(glusterfs-server media-types curl python3 procps)
# What ./check needs besides: the second compiler, the test runners, real peers. Of the two
# packages with an arping this is the one whose arping has -S; it replaces iputils-arping.
packages_test=("${packages_demo[@]}" clang libclang-rt-14-dev llvm-14 clang-format binutils
    libcmocka-dev python3-pytest glusterfs-client uwsgi-core uwsgi-plugin-glusterfs
    uwsgi-plugin-python3 nginx-light iproute2 iputils-ping arping iptables openssl attr util-linux libcap2-bin git)
# What bench/gluster and bench/legion need besides.
packages_bench=(glusterfs-server glusterfs-client uwsgi-core uwsgi-plugin-glusterfs nginx-light
    fuse3 media-types python3 procps util-linux keepalived iproute2 iptables)

# Services that come with those packages and that nobody asked to run.
packages_services=(nginx:nginx-light keepalived:keepalived glusterd:glusterfs-server glustereventsd:glusterfs-server)

packages_missing() { # NAME... -> those not installed, one a line
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$name"
    done
}

packages_as_root() {
    if [ "$EUID" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

packages_apt() { # the newest lists are fetched only if the install cannot do without
    local options=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" -- "$@")
    if apt-cache policy -- "$@" | awk '/^[^ ]/{n++} /Candidate: [^(]/{c++} END{exit !(n && n == c)}' &&
        [ "$(apt-cache policy -- "$@" | grep -c '^[^ ]')" -eq $# ]; then
        packages_as_root "${install[@]}" && return 0
    fi
    packages_as_root apt-get update -q && packages_as_root "${install[@]}"
}

packages_stop_services() { # MISSING... : stops what the packages just installed have started
    local row service package
    for row in "${packages_services[@]}"; do
        service=${row%%:*} package=${row#*:}
        [[ " $* " == *" $package "* ]] || continue
        if [ -d /run/systemd/system ]; then
            packages_as_root systemctl disable --now "$service" >/dev/null 2>&1
        elif [ -x "/etc/init.d/$service" ]; then
            packages_as_root "/etc/init.d/$service" stop >/dev/null 2>&1
        fi
    done
    return 0
}

packages_install() { # LIST... of build demo test bench; 0 when all are there in the end
    local list names=() missing
    for list in "$@"; do
        local -n packages_list="packages_$list"
        names+=("${packages_list[@]}")
    done
    mapfile -t missing < <(packages_missing "${names[@]}" | sort -u)
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null; then
        echo "legatus: no apt-get here. On Debian 12 these packages are needed: ${names[*]}" >&2
        return 1
    fi
    if [ "$EUID" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "legatus: packages are missing, and installing them needs root. As root, run:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "installing: ${missing[*]}"
    if ! packages_apt "${missing[@]}"; then
        echo "legatus: apt-get could not install: ${missing[*]}" >&2
        return 1
    fi
    packages_stop_services "${missing[@]}"
    mapfile -t missing < <(packages_missing "${names[@]}" | sort -u)
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "legatus: still missing after apt-get install: ${missing[*]}" >&2
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    for list in "$@"; do
        case $list in
        build | demo | test | bench) ;;
        *)
            echo "usage: $0 [build] [demo] [test] [bench]" >&2
            exit 2
            ;;
        esac
    done
    packages_install "${@:-build}"
fi

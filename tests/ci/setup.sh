#!/usr/bin/env bash
# setup.sh build|test|mysql|galera|e2e: checks the tools needed by a build, the tests, the tests on Oracle MySQL or Galera,
# or a Kubernetes node. As root on Debian or Ubuntu it installs what `test`, `mysql`, `galera` and `e2e` need; otherwise, and
# always for `build`, it prints in one line what is missing and how to install it.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }
# Debian's python3 package does not include what `python3 -m venv` needs.
have_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

if ! have cargo; then
  echo "cargo is missing; install Rust 1.95 or newer: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
  exit 1
fi

# Kubernetes is built from source unless a cluster is given. Debian's Go is too old.
have_go() {
  local go said
  for go in go /usr/local/go/bin/go; do
    said=$("$go" env GOVERSION 2>/dev/null) || continue
    [ "$(printf '%s\ngo1.26\n' "$said" | sort -V | head -n 1)" = go1.26 ] && return
  done
  return 1
}

if { [ "$1" = test ] && [ -z "${SAGEAPI_TEST_KUBECONFIG:-}" ] || [ "$1" = e2e ]; } && ! have_go; then
  echo "go 1.26 or newer is missing; install it from https://go.dev/dl" >&2
  exit 1
fi

packages=()
need() { have "$1" || [[ " ${packages[*]} " == *" $2 "* ]] || packages+=("$2"); }

need cc build-essential
need make build-essential
if [ "$1" != build ]; then
  need mariadbd mariadb-server
  need setpriv util-linux
  need curl curl
  have_venv || packages+=(python3-venv)
fi
if [ "$1" = test ]; then
  # The tests run the example clients in docs/clients.
  need python3 python3
  need node nodejs
  need go golang-go
  need javac default-jdk-headless
fi
if [ "$1" = mysql ]; then
  need debootstrap debootstrap
fi
if [ "$1" = galera ]; then
  [ -e /usr/lib/galera/libgalera_smm.so ] || packages+=(galera-4)
  # A joining node copies all data with rsync.
  need rsync rsync
  need ss iproute2
fi
if [ "$1" = e2e ]; then
  need containerd containerd
  need runc runc
  [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
  need ip iproute2
  need iptables iptables
  need conntrack conntrack
  [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
fi

if [ "${#packages[@]}" -gt 0 ]; then
  install="apt-get install -y ${packages[*]}"
  if [ "$1" = build ] || [ "$(id -u)" -ne 0 ] || ! have apt-get; then
    echo "missing: ${packages[*]}; install with: $install" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  echo "installing: ${packages[*]}"
  # --no-install-recommends: the tests start their own servers and need only the binaries.
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null
fi

if [ "$1" != build ]; then
  for component in fmt clippy; do
    if ! cargo "$component" --version >/dev/null 2>&1; then
      echo "cargo $component is missing; install it with: rustup component add rustfmt clippy" >&2
      exit 1
    fi
  done
fi

#!/usr/bin/env bash
# Installs what the tests and the instruction counts need and is not there: Debian packages, and the Python and Node
# libraries of the interop tests (in target/interop-deps, or where CONVEYOR_INTEROP_DEPS says). Does nothing, quickly,
# when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "scripts/test-deps.sh: $*" >&2; exit 1; }

packages=(gearman-job-server gearman-tools libgearman-dev gcc libc6-dev make php-cli php-gearman php-zmq libgearman-client-perl
  python3 python3-venv nodejs npm valgrind dash openssl stunnel4 postgresql mariadb-server redis-server memcached)

# A language that is there in another way (a version manager, a container image) is good enough.
present() {
  case "$1" in
    python3 | python3-venv) python3 -c 'import venv, ensurepip' > /dev/null 2>&1 ;;
    nodejs) command -v node > /dev/null 2>&1 ;;
    npm) command -v npm > /dev/null 2>&1 ;;
    make | valgrind | dash) command -v "$1" > /dev/null 2>&1 ;;
    gcc | libc6-dev) command -v cc > /dev/null 2>&1 ;;
    *) dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q 'ok installed' ;;
  esac
}

missing=()
for package in "${packages[@]}"; do
  present "$package" || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get > /dev/null 2>&1 || fail "missing: ${missing[*]}; install them (this script knows Debian only)"
  root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null 2>&1 || fail "missing: ${missing[*]}; run this script as root once"
    root=(sudo)
  fi
  echo "installing ${missing[*]}"
  # These packages start services; the tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" > /dev/null
    "${root[@]}" chmod 755 "$policy"
    trap '"${root[@]}" rm -f "$policy"' EXIT
  fi
  "${root[@]}" apt-get update -qq < /dev/null
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" < /dev/null > /dev/null
fi

deps="${CONVEYOR_INTEROP_DEPS:-target/interop-deps}"
mkdir -p "$deps"
stamp="gear==0.16.0 pygearman==0.2.6 gearman@2.1.0"
if [ "$(cat "$deps/stamp" 2> /dev/null)" != "$stamp" ]; then
  echo "installing $stamp into $deps"
  [ -x "$deps/venv/bin/python" ] || python3 -m venv "$deps/venv"
  "$deps/venv/bin/pip" install --quiet --disable-pip-version-check gear==0.16.0 pygearman==0.2.6 < /dev/null
  npm install --silent --no-audit --no-fund --no-save --prefix "$deps" gearman@2.1.0 < /dev/null
  echo "$stamp" > "$deps/stamp"
fi

#!/bin/sh
# Sets up everything that demo and tests need on a fresh Debian: missing Debian packages, a virtual environment with
# Hearline in it, and the private Asterisk. It can be run again at any time. Usage: setup.sh PYTHON VENV
set -eu
python=$1 venv=$2

say() { printf '· %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command and shows the lines of its output that report progress; if it fails, the last 30 lines of the output.
shown() { # sed-script command...
	picked=$1; shift
	log=$(mktemp)
	{ "$@" 2>&1 || echo "failed: $?"; } | tee "$log" | sed -un "$picked"
	if tail -n 1 "$log" | grep -q '^failed: '; then
		tail -n 30 "$log" >&2; rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# ---- what is missing ------------------------------------------------------------------------------------------------
need() { # command package
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
container_answers() {
	for engine in docker podman; do
		"$engine" info >/dev/null 2>&1 || continue
		"$engine" compose version >/dev/null 2>&1 && return 0
		[ "$engine" = docker ] && docker-compose version >/dev/null 2>&1 && return 0
	done
	return 1
}
# Debian's package makes and starts a database, "main", which nobody here needs: have it do without, this once.
without_main_cluster() {
	folder=/etc/postgresql-common/createcluster.d
	mkdir -p "$folder"
	echo "create_main_cluster = false" >"$folder/hearline-setup.conf"
	trap 'rm -f "$folder/hearline-setup.conf"; rmdir "$folder" 2>/dev/null || :' EXIT
}
asterisk_is_new() {
	PATH=/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin asterisk -V 2>/dev/null |
		grep -Eq 'Asterisk (22\.[1-9][0-9]|2[3-9]|[3-9][0-9])'
}
packages=""
if [ -z "$python" ]; then
	packages=" python3 python3-venv python3-dev"
	python=python3
else
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		fail "$("$python" -V) is too old: install Python 3.11 or newer, or say which with make PYTHON=/path/to/python"
	"$python" -c 'import ensurepip, venv' 2>/dev/null ||
		packages=" $(basename "$(readlink -f "$(command -v "$python")")")-venv"
	"$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
		packages="$packages $(basename "$(readlink -f "$(command -v "$python")")")-dev"
fi
need cc "gcc libc6-dev" # compiles the work that is done for every call in every tick
if [ "$(id -u)" = 0 ]; then
	# For a root folder with Asterisk in it, for hundreds of callers, and a font for the Chinese text in pictures.
	if ! container_answers && ! asterisk_is_new; then
		need mmdebstrap mmdebstrap
		need mount mount
		need unshare util-linux
		[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages="$packages debian-archive-keyring"
	fi
	need sipp sip-tester # places the hundred calls of the load test
	need chromium chromium # opens the agents' page in the tests
	# The tests start a PostgreSQL of their own.
	[ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null)" ] || packages="$packages postgresql"
	[ -n "$(find /usr/share/fonts -name 'wqy-*' -o -name 'NotoSansCJK*' 2>/dev/null)" ] ||
		packages="$packages fonts-wqy-microhei"
fi

if [ -n "$packages" ]; then
	command -v apt-get >/dev/null || fail "this is not Debian; please install the equivalent of these packages:$packages"
	[ "$(id -u)" = 0 ] || fail "please run this as root, then try again:
  apt-get update && apt-get install --no-install-recommends$packages"
	say "installing from Debian:$packages"
	export DEBIAN_FRONTEND=noninteractive
	shown 's/^Fetched /  &/p' apt-get update || fail "Debian's package lists could not be fetched: check the network"
	case " $packages " in *" postgresql "*) without_main_cluster ;; esac
	# shellcheck disable=SC2086
	shown 's/^Need to get /  &/p; s/^Setting up \([^ ]*\) .*/  \1/p' \
		apt-get install --yes --no-install-recommends $packages || fail "apt-get could not install$packages"
fi

# ---- Hearline -------------------------------------------------------------------------------------------------------
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
	say "making a virtual environment in $venv"
	"$python" -m venv --clear "$venv"
fi
say "installing Hearline and its libraries (about a minute)"
shown 's/^ *Downloading \([^-]*-[^-]*\)-.*\( (.* MB)\).*/  \1\2/p; s/^ *Installing collected.*/  unpacking/p' \
	"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
	--only-binary pjsua2-python --editable ".[softphone,test]" ||
	fail "pip could not install the libraries (see above). The softphones, pjsua2-python, come for Python 3.11 and 3.12:
  make PYTHON=/path/to/python3.12"
# pip compiles only the libraries. If Python cannot write beside our code, it would compile that at every start.
"$venv/bin/python" -m compileall -q agi

# ---- the private Asterisk -------------------------------------------------------------------------------------------
"$venv/bin/hearline" stack prepare || say "everything but the private Asterisk is set up: make unit works, make demo does not"
say "set up"

#!/bin/sh
# Sets up what demo and tests need on a fresh Debian: a virtual environment with Hearline in it, and the tools that
# the private Asterisk is made with. Usage: setup.sh PYTHON VENV
set -eu
python=$1 venv=$2

say() { printf '\033[1m· %s\033[0m\n' "$*"; }

# Debian packages, only those that are missing, only where we may install them.
need() { # command package
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
packages=""
need unshare util-linux
need nsenter util-linux
need sipp sip-tester
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages="$packages $(basename "$(readlink -f "$python")")-venv"
asterisk_is_new() { asterisk -V 2>/dev/null | grep -Eq 'Asterisk (22\.[1-9][0-9]|2[3-9]|[3-9][0-9])'; }
docker info >/dev/null 2>&1 || podman info >/dev/null 2>&1 || asterisk_is_new || need mmdebstrap mmdebstrap
[ -e /usr/share/fonts/truetype/wqy ] || [ -e /usr/share/fonts/opentype/noto ] || packages="$packages fonts-wqy-microhei"
if [ -n "$packages" ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "Missing:$packages. Install these, or run this once as root on Debian." >&2
		exit 1
	fi
	say "installing$packages"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	# shellcheck disable=SC2086
	apt-get -qq install --yes --no-install-recommends $packages >/dev/null
fi

say "making a virtual environment in $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
say "installing Hearline and its libraries (about a minute)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[softphone,test]"

#!/bin/sh
# The stub libraries carry what CadQuery's wheel links from libGL and libX11, under their names.
# Run by make check in the build folder; speaks TAP.
set -u
: "${srcdir:=.}"
n=0 bad=0
claim() { # claim STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

grep -v '^#' "$srcdir/engine/gl_stub.syms" | LC_ALL=C sort > "$work/listed"
for lib in libGL.so.1 libX11.so.6; do
	readelf -d gl/$lib | grep -qF "soname: [$lib]"
	claim $? "$lib has its own name inside"
	nm -D --defined-only gl/$lib | awk '$2 == "T" {print $3}' >> "$work/exported"
done
LC_ALL=C sort "$work/exported" | cmp -s - "$work/listed"
claim $? "together they export just the names listed"

text="the list holds every name that the installed wheel asks for"
wheel=$(find "${PYTHON_ENV:-/nowhere}" -path '*cadquery_ocp*.libs/*' \( -name 'libTKOpenGl*' -o -name 'libTKService*' \) 2> /dev/null)
if [ -n "$wheel" ]; then
	# shellcheck disable=SC2086
	nm -D --undefined-only $wheel | awk '$2 ~ /^(gl|X)/ {print $2}' | LC_ALL=C sort -u > "$work/asked"
	[ -s "$work/asked" ] && [ -z "$(LC_ALL=C comm -23 "$work/asked" "$work/listed")" ]
	claim $? "$text"
else
	n=$((n + 1))
	echo "ok $n - $text # SKIP no Python environment (configure --with-python-env)"
fi
echo "1..$n"
exit $bad

#!/bin/sh
# The stub libraries carry what CadQuery's wheel links from libGL and libX11, under their names.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"

grep -v '^#' "$srcdir/engine/gl_stub.syms" | LC_ALL=C sort > "$work/listed"
for lib in libGL.so.1 libX11.so.6; do
	readelf -d gl/$lib | grep -qF "soname: [$lib]"
	claim $? "$lib has its own name inside"
	nm -D --defined-only gl/$lib | awk '$2 == "T" {print $3}' >> "$work/exported"
done
LC_ALL=C sort "$work/exported" | cmp -s - "$work/listed"
claim $? "together they export just the names listed"

text="the list holds every name that the installed wheel asks for"
wheel=$(find "${CADFORGE_PYTHON_ENV:-/nowhere}" -path '*cadquery_ocp*.libs/*' \( -name 'libTKOpenGl*' -o -name 'libTKService*' \) 2> /dev/null)
if [ -n "$wheel" ]; then
	# shellcheck disable=SC2086
	nm -D --undefined-only $wheel | awk '$2 ~ /^(gl|X)/ {print $2}' | LC_ALL=C sort -u > "$work/asked"
	[ -s "$work/asked" ] && [ -z "$(LC_ALL=C comm -23 "$work/asked" "$work/listed")" ]
	claim $? "$text"
else
	skip "$text" "no Python environment (configure --with-python-env)"
fi
finish

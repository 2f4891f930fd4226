#!/bin/sh
# Bad input over the wire against `cadforge serve`, and its end. Run by make check in the build folder; with MANY=1, as make
# check-clients does, with 1,000 sessions and 10,000 connections. Speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
need_python
python=${CADFORGE_PYTHON_ENV}/bin/python
shown=$work/said
capacity=8 many=
if [ -n "${MANY:-}" ]; then
	capacity=1000 many=--many
	ulimit -n "$(ulimit -H -n)"
	if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 11000 ]; then
		skip_all "a process may open $(ulimit -n) files here, and 11,000 are wanted: ulimit -n"
	fi
fi
serve_start --capacity $capacity
claim $? "cadforge serve listens"
[ -n "$url" ] || finish
# shellcheck disable=SC2086
points "$python" "$here/tests/e2e/serve_bad.py" "${url##*:}" "$serving" $((n + 1)) $many
serve_end && ! grep -qE 'Sanitizer|runtime error' "$work/said"
claim $? "after all that it ends when it is told to, with status 0"
finish

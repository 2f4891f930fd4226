#!/bin/sh
# The exact reward through the real program: failures, equal answers, profiles, references of every kind, programs that
# try to get it for nothing. With words: those parts (exact_parts.sh has the others); with "whole", as make check-exact
# has it, all parts, and nothing of them left out. Speaks TAP.
set -u
: "${srcdir:=.}"
CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-$PYTHON_ENV}
CADFORGE_TASKS=$(cd "$srcdir" && pwd)/tasks
export CADFORGE_PYTHON_ENV CADFORGE_TASKS
if [ ! -d "$CADFORGE_PYTHON_ENV" ]; then
	echo "1..0 # SKIP no Python environment"
	exit 0
fi
[ $# -gt 0 ] || set -- answers same profiles references games
exec /usr/bin/python3 "$srcdir/tests/e2e/exact.py" "$PWD/cadforge" "$srcdir" "${CADFORGE_SHARED:-$srcdir/../shared}/parity" "$@"

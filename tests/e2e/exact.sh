#!/bin/sh
# The exact reward through the real program: references, single defects, programs that try to get it for nothing,
# careful parts by others, equal answers, failures, profiles, references of every kind. Speaks TAP.
set -u
: "${srcdir:=.}"
CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-$PYTHON_ENV}
CADFORGE_TASKS=$srcdir/tasks
export CADFORGE_PYTHON_ENV CADFORGE_TASKS
if [ ! -d "$CADFORGE_PYTHON_ENV" ]; then
	echo "1..0 # SKIP no Python environment"
	exit 0
fi
exec /usr/bin/python3 "$srcdir/tests/e2e/exact.py" "$PWD/cadforge" "$srcdir" "${CADFORGE_SHARED:-$srcdir/../shared}/parity" "$@"

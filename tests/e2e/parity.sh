#!/bin/sh
# The published evaluator's figures, row by row, through the real program. Needs the parity set: $CADFORGE_SHARED/parity
# or ../shared/parity beside the sources. With "whole", as make check-exact has it, every row there is. Speaks TAP.
set -u
: "${srcdir:=.}"
shared=${CADFORGE_SHARED:-$srcdir/../shared}
if [ ! -f "$shared/parity/expected.jsonl" ]; then
	echo "1..0 # SKIP no parity set in $shared"
	exit 0
fi
CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-$PYTHON_ENV}
CADFORGE_TASKS=$(cd "$srcdir" && pwd)/tasks
export CADFORGE_PYTHON_ENV CADFORGE_TASKS
exec /usr/bin/python3 "$srcdir/tests/e2e/parity.py" "$PWD/cadforge" "$shared/parity" "$@"

#!/bin/sh
# Bad input over the wire against `cadforge serve`, and its end. Run by make check in the build folder; with MANY=1, as make
# check-clients does, with 1,000 sessions and 10,000 connections. Speaks TAP.
set -u
: "${srcdir:=.}"
here=$(cd "$srcdir" && pwd)
CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-${PYTHON_ENV:-}}
CADFORGE_TASKS=$here/tasks
export CADFORGE_PYTHON_ENV CADFORGE_TASKS
if [ -z "$CADFORGE_PYTHON_ENV" ] || [ ! -x ./cadforge-builder ]; then
	echo "1..0 # SKIP no Python environment with CadQuery: run ./quickstart build"
	exit 0
fi
python=${CADFORGE_PYTHON_ENV}/bin/python
cadforge=$PWD/cadforge
work=$(mktemp -d)
server=
leave() {
	[ -z "$server" ] || kill -9 "$server" 2> /dev/null
	rm -rf "$work"
}
trap leave EXIT
capacity=8 many=
if [ -n "${MANY:-}" ]; then
	capacity=1000 many=--many
	ulimit -n "$(ulimit -H -n)"
	if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 11000 ]; then
		echo "1..0 # SKIP a process may open $(ulimit -n) files here, and 11,000 are wanted: ulimit -n"
		exit 0
	fi
fi
CADFORGE_DB=$work/sessions.db "$cadforge" serve --port 0 --capacity $capacity 2> "$work/said" &
server=$!
i=0
until grep -q 'listening: ' "$work/said" 2> /dev/null || [ $i -ge 600 ] || ! kill -0 $server 2> /dev/null; do
	i=$((i + 1))
	sleep 0.1
done
port=$(sed -n 's|.*listening: .*http://[^ ,]*:\([0-9]*\).*|\1|p' "$work/said" | head -n 1)
if [ -z "$port" ]; then
	sed 's/^/# /' "$work/said"
	echo "1..1"
	echo "not ok 1 - cadforge serve listens"
	exit 1
fi
"$python" "$here/tests/e2e/serve_bad.py" "$port" $server 1 $many > "$work/out"
bad=$?
cat "$work/out"
n=$(grep -c -E '^(not )?ok ' "$work/out")
kill -TERM $server
wait $server
status=$?
server=
n=$((n + 1))
if [ $status -eq 0 ] && ! grep -qE 'Sanitizer|runtime error' "$work/said"; then
	echo "ok $n - after all that it ends when it is told to, with status 0"
else
	echo "not ok $n - after all that it ends when it is told to: status $status"
	tail -n 20 "$work/said" | sed 's/^/# /'
	bad=1
fi
echo "1..$n"
exit $bad

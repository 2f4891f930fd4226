#!/bin/sh
# The client packages of PyPI against `cadforge serve`, unchanged: openenv-core 0.2.3, openenv's newest, each in a virtual
# environment of its own, since both install one module. Run by make check in the build folder, with what ./quickstart check
# has put into clients/; CADFORGE_OPENENV_PYTHONS names others. With CADFORGE_TRL_PYTHON, a Python with trl, transformers,
# torch and openenv, as make check-clients has it, TRL's GRPO trainer trains a step as well. Speaks TAP.
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
pythons=${CADFORGE_OPENENV_PYTHONS:-}
if [ -z "$pythons" ]; then
	for p in "$PWD"/clients/*/bin/python "$here"/build/clients/*/bin/python; do
		[ -x "$p" ] && case " $pythons " in *"/${p#*/clients/} "*) ;; *) pythons="$pythons $p" ;; esac
	done
fi
if [ -z "$pythons" ] && [ -z "${CADFORGE_TRL_PYTHON:-}" ]; then
	echo "1..0 # SKIP no client packages: ./quickstart check installs openenv-core and openenv into build/clients"
	exit 0
fi
cadforge=$PWD/cadforge
work=$(mktemp -d)
server=
leave() {
	[ -z "$server" ] || kill -9 "$server" 2> /dev/null
	rm -rf "$work"
}
trap leave EXIT
unset CADFORGE_SERVE_TOKEN CADFORGE_SERVE_URL
PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1,localhost
export PYTHONDONTWRITEBYTECODE NO_PROXY
n=0 bad=0
claim() { # claim STATUS TEXT FILE
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		tail -n 40 "$3" | sed 's/^/# /'
		bad=1
	fi
}
CADFORGE_DB=$work/sessions.db "$cadforge" serve --port 0 --capacity 16 2> "$work/said" &
server=$!
i=0
until grep -q "listening: " "$work/said" 2> /dev/null || [ $i -ge 600 ] || ! kill -0 $server 2> /dev/null; do
	i=$((i + 1))
	sleep 0.1
done
url=$(sed -n 's|.*listening: .*\(http://[^ ,]*:[0-9]*\).*|\1|p' "$work/said" | head -n 1)
[ -n "$url" ]
claim $? "cadforge serve listens" "$work/said"
for p in ${url:+$pythons}; do
	"$p" "$here/tests/e2e/serve_clients.py" "$url" $((n + 1)) > "$work/out" 2> "$work/err"
	status=$?
	cat "$work/out"
	n=$((n + $(grep -c -E '^(not )?ok ' "$work/out")))
	if [ $status -ne 0 ]; then
		bad=1
		sed 's/^/# /' "$work/err" | tail -n 30
	fi
	claim $status "all of it with $p" "$work/err"
done
if [ -n "$url" ] && [ -n "${CADFORGE_TRL_PYTHON:-}" ]; then
	(cd "$work" && PYTHONPATH=$here/engine/cadforge_env "$CADFORGE_TRL_PYTHON" \
		"$here/engine/cadforge_env/examples/trl_one_step.py" --url "$url" > trl.out 2> trl.err)
	status=$?
	cat "$work/trl.out" >> "$work/trl.err"
	claim $status "TRL's GRPO trainer takes a step" "$work/trl.err"
	grep '"step"\|chances' "$work/trl.out" | sed 's/^/# /'
	# every rollout called the tool, rewards differed, and the better programs got likelier
	"$CADFORGE_TRL_PYTHON" - "$work/trl.out" > "$work/judged" 2>&1 << 'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1]) if line.startswith(("{\"step", "{\"chances"))]
step, chances = rows[0], rows[-1]
before, after = chances["chances_before"], chances["chances_after"]
assert step["tools/call_frequency"] > 0.5 and step["tools/failure_frequency"] == 0, step
assert -1 < step["reward"] < 1 and step["reward_std"] > 0 and step["grad_norm"] > 0, step
assert sum(after[:2]) > sum(before[:2]) and sum(after[2:]) < sum(before[2:]), chances
END
	claim $? "programs that build got likelier by it, the others less likely" "$work/judged"
fi
kill -TERM $server
wait $server
status=$?
server=
claim $status "the server ends when it is told to" "$work/said"
echo "1..$n"
exit $bad

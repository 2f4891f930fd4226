#!/bin/sh
# The client packages of PyPI against `cadforge serve`, unchanged: openenv-core 0.2.3, openenv's newest, each in a virtual
# environment of its own, since both install one module. Run by make check in the build folder, with what ./quickstart check
# has put into clients/; CADFORGE_OPENENV_PYTHONS names others. With CADFORGE_TRL_PYTHON, a Python with trl, transformers,
# torch and openenv, as make check-clients has it, TRL's GRPO trainer trains a step as well. Speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
need_python
pythons=${CADFORGE_OPENENV_PYTHONS:-}
if [ -z "$pythons" ]; then
	for p in "$PWD"/clients/*/bin/python "$here"/build/clients/*/bin/python; do
		[ -x "$p" ] && case " $pythons " in *"/${p#*/clients/} "*) ;; *) pythons="$pythons $p" ;; esac
	done
fi
if [ -z "$pythons" ] && [ -z "${CADFORGE_TRL_PYTHON:-}" ]; then
	skip_all "no client packages: ./quickstart check installs openenv-core and openenv into build/clients"
fi
unset CADFORGE_SERVE_TOKEN CADFORGE_SERVE_URL
PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1,localhost
export PYTHONDONTWRITEBYTECODE NO_PROXY
shown="$work/said $work/err $work/judged"
serve_start --capacity 16
claim $? "cadforge serve listens"
for p in ${url:+$pythons}; do
	points "$p" "$here/tests/e2e/serve_clients.py" "$url" $((n + 1)) 2> "$work/err"
	claim $? "all of it with $p"
done
if [ -n "$url" ] && [ -n "${CADFORGE_TRL_PYTHON:-}" ]; then
	(cd "$work" && PYTHONPATH=$here/engine/cadforge_env "$CADFORGE_TRL_PYTHON" \
		"$here/engine/cadforge_env/examples/trl_one_step.py" --url "$url" > trl.out 2> trl.err)
	status=$?
	cat "$work/trl.out" "$work/trl.err" > "$work/err"
	claim $status "TRL's GRPO trainer takes a step"
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
	claim $? "programs that build got likelier by it, the others less likely"
fi
serve_end
claim $? "the server ends when it is told to"
finish

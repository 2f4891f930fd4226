#!/bin/sh
# Reinforcement learning behind its verb, with the demonstration model's base and an adapter that begins
# at nothing: a run and what it leaves, killed and asked to stop and gone on with, cut off, all failing.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
CADFORGE_DEMO=$here/gpu/demo
need_python
enter

has() { # has EXPRESSION: of the lines of out as JSON objects, rows; of the steps among them, steps
	/usr/bin/python3 -c '
import json, sys
rows = [json.loads(l) for l in open("out")]
steps = [r for r in rows if r.get("event") == "step"]
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2>> err
}
state() { # state RUN WORD: what runs says of it
	"$cadforge" runs "$1" 2> /dev/null | grep -q " $2"
}
free() { # free OUT: no process works there
	flock -n "$1/lock" true 2> /dev/null
}
grpo() { "$cadforge" train grpo --adapter none --backend cpu --threads 1 --rank 4 --lr 1e-3 --seed 5 --prompts 1 "$@"; }

# ---- what cannot be is said ----
expect 2 "--members: setting members: a whole number from 2 to 64" grpo --members 1 &&
	expect 2 "chair_of_gold" grpo --task chair_of_gold &&
	expect 2 "one of both" grpo --task wall_j_hook_120n --held-out wall_j_hook_120n &&
	expect 2 "seed-9b-strict" grpo --preset seed-70b &&
	expect 2 "a folder on this machine" grpo --model http://localhost/v1#x &&
	expect 2 "--reward: dense, dense-full, exact" grpo --reward gold --out odd &&
	expect 2 "--curriculum: default" grpo --curriculum gold --out odd &&
	expect 2 "leaves" grpo --max-tokens 4090 --out odd && ! [ -e odd ] &&
	expect 2 "setting rank" "$cadforge" train grpo --adapter none --rank 0.5 --out odd
claim $? "settings, tasks and models that cannot be are told, and leave nothing behind"
echo '{"members": 3, "reduction": "grpo", "guards": ["kl=stop:0.1"]}' > settings.json
CADFORGE_DB=$work/dry.db "$cadforge" train grpo --preset seed-9b-strict --config-json settings.json --lr 7e-6 --dry-run --json > out 2> err &&
	has 'rows[0]["settings"]["lr"] == 7e-6 and rows[0]["settings"]["members"] == 3' &&
	has 'rows[0]["settings"]["reduction"] == "grpo" and rows[0]["settings"]["reward"] == "strict"' && ! [ -e dry.db ]
claim $? "flags go before the file, the file before the preset; a dry run writes nothing"

# ---- a run, and what it leaves ----
whole() { # whole OUT: the same run, whose budget is too small at first
	grpo --task wall_j_hook_120n --task cable_clip_snap --reward strict --members 3 --steps 4 --save-every 1 --max-tokens 240 \
		--guard clipped=replace:0.05:1 --out "$@"
}
whole whole --held-out drawer_handle_two_bolt --json > out 2> err &&
	has '[s["step"] for s in steps] == [1, 2, 3, 4] and all(s["run"] == 1 for s in rows)' &&
	has 'all(s["answers"] == s["groups"] * 3 and sum(s["classes"].values()) == s["answers"] for s in steps)' &&
	has 'all(s["lost"] == 0 and s["mismatch"] < 1e-3 and -1 <= s["reward"] <= 1 for s in steps if s["used"])' &&
	has 'sum(s["used"] > 0 for s in steps) >= 2' &&
	has '[r["answers"] for r in rows if r["event"] == "eval"] == [1]' &&
	[ -f whole/checkpoint-000004/adapter_model.safetensors ] && [ -f whole/policy/000004/adapter_config.json ]
claim $? "a run draws, builds, learns; steps say what came of it; adapter and checkpoints are there"
has '[r["step"] for r in rows if r.get("alarm") == "clipped"][0] == 1 and steps[0]["max_tokens"] == 240' &&
	has 'steps[1]["max_tokens"] == 360 and steps[3]["clipped"] < steps[3]["answers"]'
claim $? "a budget that cuts answers off is told with the first step, and enlarged"
"$cadforge" runs 1 --json > out 2> err && has 'rows[0]["state"] == "done" and rows[0]["step"] == 4' &&
	[ "$("$cadforge" episodes --task drawer_handle_two_bolt --json | wc -l)" -eq 1 ] &&
	"$cadforge" episodes --json > out 2> err && has 'len(rows) >= 4 and all(r["run"] == 1 for r in rows)'
claim $? "run, steps and answers are in the database"
expect 2 "is done" "$cadforge" train resume 1
claim $? "a run that is done does not go on"

# ---- killed, stopped, gone on with ----
(whole broken > out 2> err) &
wait_until [ -d broken/checkpoint-000001 ]
pid=$(/usr/bin/python3 - <<'END'
import os
for p in filter(str.isdigit, os.listdir("/proc")):
    try:
        line = open(f"/proc/{p}/cmdline").read().split("\0")
        if "broken" in line and line[1:3] == ["train", "grpo"] and os.getcwd() == os.readlink(f"/proc/{p}/cwd"):
            print(p)
            break
    except OSError:
        pass
END
)
kill -9 "$pid"
wait 2> /dev/null
state 2 interrupted && wait_until free broken
claim $? "killed in the middle of a step it says so, and its trainer leaves"
("$cadforge" train resume 2 > out 2> err) &
wait_until grep -q 'goes on from step' err
printf pause > broken/ask
wait_until grep -q 'paused after the step' err
printf stop > broken/ask
wait
state 2 stopped && ! [ -e broken/ask ] && wait_until free broken && "$cadforge" train resume 2 > out 2> err && state 2 done &&
	cmp whole/checkpoint-000004/adapter_model.safetensors broken/checkpoint-000004/adapter_model.safetensors
claim $? "asked to pause and to stop it does; gone on with it ends with the same bits as the run that nobody killed"

# ---- what goes wrong is said at once ----
grpo --task wall_j_hook_120n --reward strict --members 2 --steps 2 --max-tokens 12 --tries 1 --guard clipped=stop:0.05:1 --guard dead=off \
	--out clipped > out 2> err
[ $? -eq 1 ] && grep -q "^ALARM clipped, step 1: " err && state 3 alarm
claim $? "answers that are cut off go off in the first step, and stop a run that is to stop"
grpo --task wall_j_hook_120n --reward seed-fast --members 3 --steps 1 --max-tokens 24 --temperature 60 --mask-clipped off --guard clipped=off \
	--json --out noise > out 2> err &&
	has 'steps[0]["built"] == 0 and steps[0]["used"] == 0 and steps[0]["flat"] == 2 and steps[0]["replaced"] == 1' &&
	has 'steps[0]["loss"] is None and steps[0]["reward"] == -1'
claim $? "all of a group failing teaches nothing: another is drawn, nothing is learnt, the step counts"
finish

#!/bin/sh
# What failed, what it weighs, what comes next, what is set beside what: from real builds, by verbs
# and on the screens. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter
USER=ann
export USER
# has JSON-LINE-CONDITION: some line of out, as o, for which the Python expression holds
has() {
	/usr/bin/python3 -c '
import json, sys
sys.exit(not any(eval(sys.argv[1], {"o": json.loads(l)}) for l in open("out") if l.strip()))' "$1"
}

$cadforge curriculum > out 2> err
[ $? -eq 2 ] && grep -q "no database there yet" err
claim $? "without a database it says what makes one"

if [ -n "$CADFORGE_PYTHON_ENV" ]; then
	printf 'import cadquery as cq\nfixture = cq.Workplane("XY").box(1, 2, 3\n' > open.py
	printf 'import cadquery as cq\nfixture = cq.Workplane("XY").boxes(1, 2, 3)\n' > api.py
	printf 'import cadquery as cq\nw = 300.0\n\n\ndef seat():\n    return cq.Workplane("XY").box(w, w, 30)\n\n\nfixture = seat()\n' > good.py
	$cadforge run four_leg_chair_700n --quiet --profile exact-train --turns 9 --no-gain 9 --from open.py good.py api.py > out 2> err
	$cadforge run axial_motor_stator_12_slot --quiet --profile exact-train --turns 9 --no-gain 9 --from api.py good.py >> out 2>> err

	$cadforge curriculum --json > out 2> err &&
		has 'o.get("class") == "syntax_closure" and o["count"] == 1 and o["repairs"] == 1 and o["repairs_built"] == 1 and abs(o["weight"] - (1 - 2 / 3) ** 2) < 1e-9' &&
		has 'o.get("class") == "invented_api" and o["count"] == 2 and o["repairs_built"] == 1 and abs(o["difficulty"] - 1.25) < 1e-9' &&
		has 'o.get("completions") == 5 and o["built"] == 2 and o["stage"] == "foundation"'
	claim $? "classes are counted, repairs are counted, the weight is the formula"

	$cadforge curriculum next 4 --json > out 2> err && [ "$(wc -l < out)" -eq 4 ] &&
		has 'o["class"] == "invented_api" and o["turn"] == "1.3" and o["task"] == "four_leg_chair_700n"'
	claim $? "the next batch names class, task and turn"
	cp out first
	$cadforge curriculum next 4 --json > out 2> err && cmp -s out first
	claim $? "the same seed draws the same batch"

	$cadforge curriculum set invented_api ban --why "new release" > out 2> err &&
		$cadforge curriculum next 8 --json > out 2> err && ! has 'o["class"] == "invented_api"'
	claim $? "a banned class is not drawn"
	$cadforge curriculum set invented_api 7.5 --as bob > out 2> err &&
		$cadforge curriculum --json > out 2> err && has 'o.get("class") == "invented_api" and o["weight"] == 7.5 and o["hand"] == "weight"'
	claim $? "a weight by hand counts"
	$cadforge curriculum log --json > out 2> err && [ "$(wc -l < out)" -eq 2 ] &&
		has 'o["as"] == "ann" and o["change"] == "ban" and o["why"] == "new release"' && has 'o["as"] == "bob" and o["weight"] == 7.5'
	claim $? "who said what, and why, is kept"
	$cadforge curriculum set invented pin > out 2> err
	[ $? -eq 2 ] && grep -q "one of low_editability" err
	claim $? "a class that is none is named with those there are"
	$cadforge fsck --quiet > out 2> err
	claim $? "the database is whole"

	$cadforge curriculum show invented_api > out 2> err && grep -q "boxes" out && grep -q "base 1.00 x" out
	claim $? "the repair prompt of a class quotes its newest failure"
	$cadforge curriculum export rows.jsonl --count 3 > out 2> err && cp rows.jsonl out && [ "$(wc -l < out)" -eq 3 ] &&
		has '[m["role"] for m in o["messages"]] == ["system", "user"] and o["class"] and o["turn"]'
	claim $? "the batch is exported as chat rows"
	$cadforge curriculum export answers.jsonl --answers --min -1 --count 6 > out 2> err && cp answers.jsonl out &&
		has '[m["role"] for m in o["messages"]] == ["system", "user", "assistant"] and o["turn"] == "1.1" and o["answer"] == "1.2" and "def seat" in o["messages"][2]["content"]'
	claim $? "with answers: a failure whose repair is known ends in it"

	$cadforge compare --json > out 2> err && has 'o.get("source") == "file" and o["turns"] == 5 and o["built"] == 2 and 0.1 < o["build"]["low"] < 0.2' &&
		has 'o.get("task") == "four_leg_chair_700n" and o["cells"][0]["built"] == 1 and o["cells"][0]["turns"] == 3'
	claim $? "compare has tasks in rows and counts every turn once"
	$cadforge compare --turns first --json > out 2> err && has 'o.get("turns") == 2 and o["built"] == 0'
	claim $? "first tries are told apart"
	$cadforge compare 9 > out 2> err
	[ $? -eq 2 ] && grep -q "there is no run 9" err
	claim $? "a run that is not there is said"

	cat > keys <<- 'EOF'
		4
		:save-screen classes.screen
		5
		:save-screen compare.screen
		:q
	EOF
	TERM=xterm-256color $cadforge --script keys > out 2> err < /dev/null
	grep -q "invented API  .* 2 .* 7.50" classes.screen && grep -q "2 of 5 built" classes.screen && grep -q "REPAIR PROMPT" classes.screen
	claim $? "the screen Curriculum has the same figures"
	grep -q "four_leg_chair_700n" compare.screen && grep -q "2 tasks x 1 column" compare.screen && grep -q "40 %" compare.screen
	claim $? "the screen Compare has the same figures"
fi

$cadforge models > out 2> err
[ $? -eq 1 ] && grep -q "no model was found" err && grep -q "$work/data/cadforge/models" err
claim $? "without a model it says where one is looked for"
mkdir -p data/cadforge/models/broken
echo '{' > data/cadforge/models/broken/config.json
$cadforge models --json > out 2> err && has 'o["usable"] is False and "config.json" in o["why"] and o["where"] == "user"'
claim $? "a model that cannot be used is listed with the reason"
if [ -n "$oracle" ] && [ -d "$oracle/lora-a" ]; then
	$cadforge adapters "$oracle" --json > out 2> err &&
		has 'o["dir"].endswith("lora-a") and any(m.endswith("tiny-f32") for m in o["fits"]) and o["rank"] == 4'
	claim $? "an adapter says which models it fits"
fi

finish

#!/bin/sh
# The experiment from its tasks to its page, with the demonstration model and as small as can be.
# Run by make check-experiment in the build folder (a minute); speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
CADFORGE_DEMO=$here/gpu/demo
enter
experiment() {
	"$cadforge" train experiment --out out --set train=2 --set held=2 --set mend=1 --set sft_tokens=1500 \
		--set seeds=1 --set steps=1 --set repair_steps=1 --set prompts=1 --set members=2 --set samples=1 \
		"$@" > out.txt 2> err
}

"$cadforge" train experiment > out.txt 2> err
[ $? -eq 2 ] && grep -q -e "--out DIR" err
claim $? "without a folder it says so"
experiment --set stepps=3
[ $? -eq 2 ] && grep -q "stepps=3" err && [ ! -e out ]
claim $? "a value that the recipe has not is told before anything is made"
CADFORGE_DEMO=$work/none experiment
[ $? -eq 3 ] && grep -q "train demo" err
claim $? "without a demonstration model it says what makes one"

experiment --until tasks
"$cadforge" tasks check out/tasks/train > checked.txt 2>&1 && [ "$(ls out/tasks/held/*_h*.json | wc -l)" -eq 2 ] &&
	[ "$(wc -l < out/mend.jsonl)" -eq 5 ]
claim $? "its tasks are packs like any other, and a broken program of each class is there"
cksum out/tasks/*/*.json > before.txt
experiment
claim $? "the same command goes on from there to the end"
cksum out/tasks/*/*.json | cmp -s - before.txt && grep -q "tasks: done before" err
claim $? "and makes nothing twice"
[ "$(ls out/evaluate | tr '\n' ' ')" = "base.jsonl control-1.jsonl dense-1.jsonl repair-1.jsonl sft.jsonl strict-1.jsonl " ] &&
	[ "$(wc -l < out/evaluate/control-1.jsonl)" -eq 7 ]
claim $? "every policy answered every prompt"
grep -q "31.9 %" out/report/README.md && grep -q '"gate":{"claim"' out/report/figures.json &&
	[ -s out/report/build-rate.svg ] && [ -s out/report/index.html ]
claim $? "the page says what is and is not shown, with curves and figures beside it"
"$cadforge" runs --db out/seed-1.db > runs.txt 2> err && [ "$(grep -c grpo runs.txt)" -eq 4 ]
claim $? "the runs are in the database of their seed"

finish

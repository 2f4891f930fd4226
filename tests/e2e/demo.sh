#!/bin/sh
# The demonstration model's recipe from nothing to its page, in the smallest shape there is, and the
# model that it leaves as the one that writes when none is named.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter
demo() {
	"$cadforge" train demo --out out --set base_tokens=8000 --set sft_tokens=4000 --set unique=0.4 \
		--set hidden=32 --set layers=3 --set heads=2 --set kv_heads=1 --set head_dim=16 --set delta_heads=2 \
		--set delta_dim=16 --set mlp=48 --set vocabulary=400 --set batch_tokens=2048 \
		--set held=2 --set repairs=1 --set unseen=1 --set turns=0 "$@" > out.txt 2> err
}

"$cadforge" doctor > doctor.txt 2> /dev/null
grep -q "lacks demonstration model" doctor.txt && grep -q "train demo" doctor.txt
claim $? "without a demonstration model doctor says what makes one"
"$cadforge" run four_leg_chair_700n > out.txt 2> err
[ $? -eq 3 ] && grep -q "there is no demonstration model" err
claim $? "so does run, which has nobody to write"

"$cadforge" train demo > out.txt 2> err
[ $? -eq 2 ] && grep -q -e "--out DIR" err
claim $? "without a folder it says so"
demo --set hiden=3
[ $? -eq 2 ] && grep -q "hiden=3" err && [ ! -e out ]
claim $? "a value that the recipe has not is told before anything is made"

# killed while it builds: what was built is not built again
demo --until corpus &
i=0
until [ $i -ge 600 ] || { [ -e out/builds.jsonl ] && [ "$(wc -l < out/builds.jsonl)" -gt 2 ]; }; do
	i=$((i + 1))
	sleep 0.1
done
killed=$(cat "/proc/$!/task/$!/children" 2> /dev/null)
kill -9 $killed $! 2> /dev/null
wait $! 2> /dev/null
[ -s out/builds.jsonl ] && [ ! -e out/corpus.json ]
claim $? "killed while it builds it has kept what was built"
demo --until tokenizer
[ $? -eq 0 ] && [ -e out/corpus.json ] && [ -e out/tokenizer/tokenizer.json ] &&
	[ "$(cut -d'"' -f4 out/builds.jsonl | sort | uniq -d | wc -l)" -eq 0 ]
claim $? "the same command goes on, and builds no program twice"

demo
[ $? -eq 0 ] && grep -q "corpus: done before" err && grep -q "out/demo/README.md" out.txt
claim $? "all stages are made, those that are done are passed over"
[ -s out/demo/base/model.safetensors ] && [ -s out/demo/sft/adapter_model.safetensors ] &&
	grep -q '"prompts": "demo"' out/demo/base/cadforge.json && grep -q '"do_sample": false' out/demo/base/generation_config.json &&
	! grep -rqF "$work" out/demo
claim $? "a base and its adapter are left, which name their prompts, and no place of this machine"
grep -q "held-out prompts, greedy | 2 |" out/demo/README.md && grep -q "base alone" out/demo/README.md &&
	grep -q "<svg" out/demo/pictures/base-loss.svg
claim $? "the page has the figures and the curves"
demo --set hidden=48
[ $? -eq 2 ] && grep -q "hidden = 32" err
claim $? "another shape in the same folder is refused, with what to do"
"$cadforge" runs > out.txt 2> err
[ $? -eq 0 ] && grep -q "demo-base" out.txt && grep -q "demo-sft" out.txt
claim $? "its trainings are among the runs"

CADFORGE_DEMO=$work/out/demo
"$cadforge" run four_leg_chair_700n --turns 1 --max-tokens 24 --json --quiet > out.txt 2> err
[ $? -eq 1 ] && "$cadforge" show 1 --json > show.txt 2> err && grep -q '"model":"demo"' show.txt &&
	grep -q '"adapter":"sft"' show.txt && grep -q '"prompts":"demo"' show.txt && grep -q '"temperature":0,' show.txt
claim $? "it writes when no model is named: with its adapter, its prompts, greedily"
"$cadforge" run four_leg_chair_700n --turns 1 --max-tokens 24 --adapter none --temperature 0.5 --quiet > out.txt 2> err
"$cadforge" show 2 --json > show.txt 2> err && grep -q '"model":"demo"' show.txt && ! grep -q '"adapter":"sft"' show.txt &&
	grep -q '"temperature":0.5,' show.txt
claim $? "what is said goes before what the model asks for, and --adapter none takes its adapter away"
"$cadforge" eval four_leg_chair_700n --max-tokens 8 > out.txt 2> err
[ $? -eq 2 ] && grep -q "four_leg_chair_700n (the task itself; sft/learnt.json)" err
claim $? "what it learnt stands beside it, and is no test for it"
"$cadforge" doctor > doctor.txt 2> /dev/null
grep -q "has   demonstration model" doctor.txt
claim $? "doctor knows it"
finish

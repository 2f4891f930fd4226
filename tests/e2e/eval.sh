#!/bin/sh
# Evaluations: what was learnt is refused, items are stored one by one and never done twice, arms are
# compared, and the page says what the figures are. With the demonstration model on a pack of two
# parts that it was not trained on.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
CADFORGE_DEMO=$here/gpu/demo
[ -e "$CADFORGE_DEMO/base/model.safetensors" ] || skip_all "there is no demonstration model"
CADFORGE_LIBEXEC=${CADFORGE_LIBEXEC:-$PWD}
export CADFORGE_LIBEXEC
enter
sft=$CADFORGE_DEMO/sft
eval_() {
	timeout 300 "$cadforge" eval --pack held --temperature 0.7 --max-tokens 400 --light "$@" > out.txt 2> err
}

# two parts under other ids and in other words
mkdir -p held/references
printf '{"format": "cadforge-pack-1", "name": "held", "about": "Parts that nobody learnt."}\n' > held/pack.json
part() { # part FROM TO PROMPT
	sed -e "s/\"id\": \"$1\"/\"id\": \"$2\"/" -e "s/\"prompt\": \"[^\"]*\"/\"prompt\": \"$3\"/" \
		-e "s,references/$1.py,references/$2.py," "$CADFORGE_TASKS/cadforge/$1.json" > "held/$2.json"
	cp "$CADFORGE_TASKS/cadforge/references/$1.py" "held/references/$2.py"
}
part wall_j_hook_120n coat_hook "A hook to hang coats from: one plate that is screwed to the wall, and below it an arm in the shape of the letter J. Make it one solid body, please."
part four_leg_chair_700n kitchen_chair "For a kitchen we need a chair: a flat seat on four legs with bars between them, and behind it a back to lean against. All of it is one body."

"$cadforge" eval wall_j_hook_120n office_chair > out.txt 2> err
[ $? -eq 2 ] && [ ! -s out.txt ] && grep -q "2 of 2 tasks were learnt" err && grep -q "wall_j_hook_120n (the task itself; sft/learnt.json)" err
claim $? "what the model learnt is refused by name"
"$cadforge" eval --held-out 0.2 > out.txt 2> err
[ $? -eq 2 ] && grep -q "5 of 5 tasks were learnt" err
claim $? "also of a share that is held out of all"
grep -q "hook to hang coats" held/coat_hook.json && printf '{"prompt": "%s\\n\\nWrite CadQuery.", "completion": "x = 1"}\n' \
	"$(sed -n 's/.*"prompt": "\([^"]*\)".*/\1/p' held/coat_hook.json | sed 's/screwed/ SCREWED  /')" > rows.jsonl
eval_ --trained-on rows.jsonl
[ $? -eq 2 ] && grep -q "coat_hook (its prompt; rows.jsonl:1)" err
claim $? "a row that has a task's prompt in another layout is found, with its line"
eval_ --temperature 0 --seeds 2
[ $? -eq 2 ] && grep -q "2 seeds at temperature 0" err
claim $? "several seeds of the likeliest answer are refused"
[ "$("$cadforge" runs --json 2> /dev/null | grep -c '"kind"')" -eq 0 ]
claim $? "and none of that has begun a run"

# two arms, killed when the first item is stored
arms="--seeds 2 --arm sft=$sft --arm base=none"
"$cadforge" eval --pack held --temperature 0.7 --max-tokens 400 --light $arms > out.txt 2> err &
pid=$!
i=0
until grep -q "1 of 4" err || [ $i -ge 3000 ] || ! kill -0 $pid 2> /dev/null; do
	i=$((i + 1))
	sleep 0.1
done
helpers=$(cat "/proc/$pid/task/$pid/children" 2> /dev/null)
kill -9 $pid $helpers 2> /dev/null
wait $pid 2> /dev/null
grep -q "1 of 4" err
claim $? "items are told as they are done"
eval_ $arms --json
rc=$?
cp out.txt whole.txt
[ $rc -eq 0 ] && [ "$(grep -c '^{"arm":' whole.txt)" -eq 8 ] && [ "$(grep -c '"items":4,"expected":4,"lost":0' whole.txt)" -eq 2 ] &&
	[ "$("$cadforge" runs --json 2> /dev/null | grep -c '"kind":"eval"')" -eq 2 ]
claim $? "the same command goes on with the run that was killed, until all items are there"
grep -q '"seed":[12],"episode":1,' whole.txt && ! grep -q "sft: 1 of 4" err
claim $? "what was stored is not done again"
grep -q '"build_rate":{"value":[0-9.]*,"low":[0-9.]*,"high":[0-9.]*,"n":4}' whole.txt && grep -q '"pass_at":\[.*"k":2,' whole.txt &&
	grep -q '"iou":{"value":0' whole.txt && grep -q '"chamfer_median_mm":{"value":[0-9]' whole.txt
claim $? "rates, pass@k, IoU and distances are there, with intervals"

# all of it is there: nothing is asked, and the page is written
eval_ $arms --out page
rc=$?
cp out.txt table.txt
[ $rc -eq 0 ] && ! grep -q " of 4: " err && grep -q "^ *sft (run 1) *base (run 2)" table.txt &&
	grep -q "on the 4 items of 2 tasks that both have" table.txt && grep -q "2 tasks: p cannot be below 0.5" table.txt
claim $? "two arms stand beside one another, with a test that says what it cannot say"
grep -q "coat" page/README.md && grep -q "<svg" page/totals.svg && grep -q "<svg" page/index.html &&
	! grep -qE 'src="http|href="http|<script' page/index.html && ! grep -rqF "$here" page && ! grep -rqF "$work" page
claim $? "the page has plots and needs nothing else, and names no place of this machine"
grep -q "Nothing here was learnt from: [1-9][0-9]* rows" page/README.md && ! grep -q "is not known" page/README.md
claim $? "and says what was looked at so that nothing in it was learnt"

"$cadforge" compare 1 2 > out.txt 2> err
[ $? -eq 0 ] && cmp -s out.txt table.txt
claim $? "compare says of two such runs what eval said of its arms"
eval_ --seeds 1 --profile seed-fast --task coat_hook && "$cadforge" compare 1 3 > out.txt 2> err
[ $? -eq 2 ] && grep -q "totals of different profiles do not compare" err
claim $? "runs under different profiles are refused"
"$cadforge" compare 1 3 --by model > out.txt 2> err
[ $? -eq 0 ] && grep -q "turns under other profiles left out" out.txt
claim $? "unless they are looked at as turns like others"
"$cadforge" fsck --quiet > out.txt 2> err
claim $? "the database is as it was committed"
finish

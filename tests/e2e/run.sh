#!/bin/sh
# Whole episodes with the real builder and scorer: run, fork, export, import; what commands and
# files do wrong; what dies. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter

# field N KEY: of line N of the JSON lines in out, the text of a key of the object itself
field() {
	/usr/bin/python3 -c '
import json, sys
o = json.loads(open("out").read().splitlines()[int(sys.argv[1]) - 1])
for key in sys.argv[2].split("."):
    o = o[key] if o is not None else None
print(json.dumps(o))' "$1" "$2"
}
task=drawer_handle_two_bolt
quick="--profile exact-train --reference none --quiet"
run() { # shellcheck disable=SC2086
	"$cadforge" run $task $quick "$@" > out 2> err
}

cat > broken.py <<'END'
import cadquery as cq
fixture = cq.Workplane().bix(1, 2, 3)
END
cat > good.py <<'END'
import cadquery as cq
length = 128.0
width = 14.0
height = 32.0

def bar():
    return cq.Workplane("XY").box(length, width, height, centered=(True, True, False))

fixture = bar()
END
cat > answer.md <<'END'
<think>a bar will do</think>
Here is the handle:

```python
import math
import cadquery as cq
fixture = cq.Workplane().box(128, 14, math.floor(20.5))
```
END

# ---- run ----
run --json --from broken.py answer.md good.py
status=$?
[ $status -eq 0 ] && [ "$(wc -l < out)" -eq 3 ]
claim $? "run plays a file a turn and ends with 0 when the best built"
[ "$(field 1 turn)" = 1 ] && [ "$(field 1 parent)" = null ] && [ "$(field 1 delta)" = null ] &&
	[ "$(field 1 build.class)" = '"invented_api"' ] && [ "$(field 1 build.line)" = 2 ] &&
	[ "$(field 2 parent)" = 1 ] && [ "$(field 2 best)" = 2 ] && [ "$(field 2 finish)" = '"stop"' ] &&
	[ "$(field 2 build.ok)" = true ] && [ "$(field 3 end)" = '"source"' ] && [ "$(field 2 end)" = null ]
claim $? "each object has its turn, its parent, the best so far and its score"
/usr/bin/python3 - <<'END'
import json
a, b = [json.loads(line) for line in open("out")][:2]
assert abs(b["delta"]["total"] - (b["reward"]["total"] - a["reward"]["total"])) < 1e-9
assert list(a)[:6] == ["episode", "turn", "parent", "best", "delta", "finish"], list(a)
END
claim $? "the delta is against the parent"
run --from broken.py
[ $? -eq 1 ] && grep -q "stored as 2.1" out && grep -q "has no attribute 'bix'" out
claim $? "an episode whose best turn did not build ends with 1 and says why"
run --json --from broken.py good.py --stop-on-error
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 1 ] && [ "$(field 1 end)" = '"error"' ]
claim $? "--stop-on-error ends it"
# terms are told while the rebuilds still run: what is stored must be what score says
game=$here/tests/gaming/channel_for_a_handle.py
"$cadforge" score --json --task $task $quick "$game" > out 2> err
scored=$(field 1 reward.total)
run --json --from "$game"
[ "$(field 1 reward.total)" = "$scored" ] && [ -n "$scored" ] && [ "$scored" != null ]
claim $? "a part that misses checks has the same total as under score"
run --json --group 2 --from broken.py good.py broken.py
[ $? -eq 0 ] && [ "$(field 1 parent)" = null ] && [ "$(field 2 parent)" = null ] && [ "$(field 3 parent)" = 2 ]
claim $? "a group is siblings, and its best is repaired"

# ---- commands ----
cat > writer.sh <<'END'
cat > "asked.$CADFORGE_TURN"
echo "$CADFORGE_TASK" > task
[ "$CADFORGE_TURN" = 1 ] && cat broken.py || cat good.py
END
run --json --from-command 'sh writer.sh' --turns 2
[ $? -eq 0 ] && [ "$(field 2 build.ok)" = true ] && [ "$(cat task)" = $task ] &&
	grep -q "drawer" asked.1 && ! grep -q bix asked.1 &&
	grep -q "fixture = cq.Workplane().bix(1, 2, 3)" asked.2 && grep -q "no attribute 'bix'" asked.2
claim $? "a command is asked for each turn, and the repair names what was wrong"
cmp -s asked.1 asked.2
[ $? -eq 1 ]
claim $? "a repair prompt is another prompt"
run --json --from-command 'cat good.py' --turns 9
[ $? -eq 0 ] && [ "$(wc -l < out)" -eq 3 ] && [ "$(field 3 end)" = '"no_gain"' ]
claim $? "two repairs that bring nothing end it"
expect 1 "exit status 7" "$cadforge" run $task --quiet --from-command 'exit 7'
claim $? "a command that fails is told with its status"
expect 1 "took longer than 0.5 s and was killed" \
	"$cadforge" run $task --quiet --command-wall 0.5 --from-command 'sleep 100'
claim $? "a command that hangs is killed"
expect 1 "printed more than 8388608 bytes" "$cadforge" run $task --quiet --from-command 'yes'
claim $? "a command that prints for ever is killed"
run --json --from-command '[ $CADFORGE_TURN = 1 ] && cat good.py'
[ $? -eq 0 ] && [ "$(wc -l < out)" -eq 1 ] && grep -q "turn 2: exit status 1" err
claim $? "what was made before a command failed stays"

# ---- what cannot be run ----
expect 2 "the nearest is drawer_handle_two_bolt" "$cadforge" run drawer_handle_two_bolts --from good.py
claim $? "an unknown task names the nearest"
expect 3 "no model was named" "$cadforge" run $task
claim $? "without files and command it says that there is no model, and what to give"
expect 2 "/some/where: no such folder" "$cadforge" run $task --model /some/where
claim $? "a model that is not there is told"
expect 2 "nothere.py" "$cadforge" run $task --from good.py nothere.py
claim $? "a file that is not there is told before anything runs"
expect 2 "only one of them can write" "$cadforge" run $task --from good.py --from-command cat
claim $? "files and a command are one too many"
expect 2 "a task is expected" "$cadforge" run --from good.py
claim $? "a missing task is told"
expect 2 "a whole number from 1" "$cadforge" run $task --turns 0 --from good.py
claim $? "no turns at all is told"
expect 2 "--profile" "$cadforge" run $task --profile nonsense --from good.py
claim $? "an unknown profile is told"

# ---- forks ----
"$cadforge" fork 1.1 --file good.py --quiet --json > out 2> err
[ $? -eq 0 ] && [ "$(field 1 turn)" = 4 ] && [ "$(field 1 parent)" = 1 ] && [ "$(field 1 profile)" = '"exact-train"' ]
claim $? "a fork is a new turn with that parent and the episode's profile"
expect 2 "1.1 to 1.4" "$cadforge" fork 1 --file good.py
claim $? "a fork wants a turn and says which there are"
expect 2 "1.9" "$cadforge" fork 1.9 --file good.py
claim $? "a turn that is not there is told"

# ---- interrupted, killed ----
cat > hang.py <<'END'
print("here", flush=True)
while True:
    pass
END
wait_for() { # wait_for TEXT FILE: at most 20 s, of a file that was not there before
	i=0
	until grep -q -e "$1" "$2" 2> /dev/null; do
		i=$((i + 1))
		[ $i -le 200 ] || return 1
		sleep 0.1
	done
}
turns_of() {
	"$cadforge" episodes --json --limit 1 2> /dev/null | /usr/bin/python3 -c 'import json; print(json.loads(input())["turns"])'
}
rm -f err
"$cadforge" run $task --profile exact-train --reference none --from broken.py hang.py > out 2> err &
pid=$!
wait_for here err
kill -INT $pid
wait $pid
[ $? -eq 130 ] && grep -q "turn 1" out && [ "$(turns_of)" = 1 ]
claim $? "an interruption ends with 130 and keeps what was committed"
rm -f err
"$cadforge" run $task --profile exact-train --reference none --from broken.py hang.py > out 2> err &
pid=$!
wait_for here err
kill -KILL $pid
wait $pid 2> /dev/null
[ "$(turns_of)" = 1 ] && "$cadforge" fsck > out 2> err
claim $? "kill -9 in a build keeps what was committed, and the database is whole"
run --json --from-command '[ $CADFORGE_TURN = 2 ] && kill -KILL $PPID; cat broken.py'
[ $? -eq 137 ] && [ "$(wc -l < out)" -eq 1 ] && [ "$(turns_of)" = 1 ]
claim $? "kill -9 while a command writes keeps what was committed"
"$cadforge" search nothing > out 2> err
grep -q "was not finished, its process is gone; what was committed before is whole" err
claim $? "the next start says what was lost"
# the builder and the scorer die under a run: it comes out all the same
cat > slow.py <<'END'
import cadquery as cq
print("here", flush=True)
for i in range(50000000):
    pass
fixture = cq.Workplane().box(128, 14, 32)
END
for helper in builder scorer; do
	rm -f err
	"$cadforge" run $task --profile exact-train --reference none --json --from slow.py > out 2> err &
	pid=$!
	wait_for here err
	# /proc/N/stat: pid (name) state parent; a bare Debian has no ps
	victim=$(cat /proc/[0-9]*/stat 2> /dev/null |
		sed -n "s/^\([0-9]*\) (cadforge-$(echo $helper | cut -c1-6)[^)]*) [A-Z] $pid .*/\1/p" | head -n 1)
	[ -n "$victim" ] && kill -KILL "$victim"
	wait $pid
	status=$?
	[ -n "$victim" ] && [ $status -eq 0 ] && [ "$(field 1 build.ok)" = true ]
	claim $? "kill -9 of the $helper in a run: its turn comes out"
done

# shellcheck disable=SC2086
"$cadforge" run $task $quick --db both.db --from broken.py good.py > out.a 2> err.a &
pid=$!
# shellcheck disable=SC2086
"$cadforge" run $task $quick --db both.db --from good.py broken.py > out 2> err
a=$?
wait $pid
[ $? -eq 0 ] && [ $a -eq 0 ] && [ "$("$cadforge" episodes --json --db both.db | wc -l)" -eq 2 ] &&
	"$cadforge" fsck --db both.db > out 2> err
claim $? "two runs may write to one database at once"

# ---- out and in again ----
"$cadforge" export 1 one --quiet > out 2> err && [ -f one/episode.json ] && [ -f one/README.md ] &&
	[ -f one/turn-3/shape.step ] && [ -f one/turn-3/shape.stl ] && [ -f one/turn-3/program.py ] &&
	[ -f one/turn-1/reward.json ] && [ -f one/turn-3/sheet.png ] && [ -f one/turn-2/turn.md ]
claim $? "an export has everything"
"$cadforge" import one --db other.db > out 2> err && "$cadforge" export 1 two --db other.db --quiet &&
	diff -r one two > out 2>&1
claim $? "an imported export is exported the same, byte for byte"
expect 2 "is there already" "$cadforge" export 1 one
claim $? "an export goes over nothing"
"$cadforge" export 1 page.md --quiet > out 2> err && grep -q "## Turn 3" page.md &&
	[ -f page.files/turn-3.png ] && grep -q "(page.files/turn-3.png)" page.md
claim $? "a page has its pictures beside it"
"$cadforge" export all lines.jsonl --quiet 2> err && [ "$(wc -l < lines.jsonl)" -ge 10 ]
claim $? "all turns go out as lines"

cat > in.jsonl <<'END'
{"task": "drawer_handle_two_bolt", "prompt": "A bar.", "completion": "import cadquery as cq\nfixture = cq.Workplane().box(128, 14, 32)", "model": "m"}
{"task": "drawer_handle_two_bolt", "prompt": "A bar.", "completion":

{"task": "no_such_task", "completion": "x"}
{"completion": "import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)"}
["a list"]
{"task": "drawer_handle_two_bolt", "prompt": [{"role": "user", "content": "A bar."}], "completion": "fixture = nothing"}
END
# shellcheck disable=SC2086
"$cadforge" import in.jsonl $quick --db lines.db > out 2> err
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 2 ] && grep -q "in.jsonl:2: column [0-9]*: " err && grep -q "in.jsonl:4: .*no_such_task" err &&
	grep -q "in.jsonl:5: task: the id of a task was expected" err && grep -q "in.jsonl:6: an object was expected" err
claim $? "damaged lines are named, and the others come in"
# shellcheck disable=SC2086
"$cadforge" import in.jsonl $quick --db lines.db > out 2> err
[ $? -eq 1 ] && [ "$(grep -c 'in already' out)" -eq 2 ] && [ "$("$cadforge" episodes --json --db lines.db | wc -l)" -eq 2 ]
claim $? "the same lines do not come in twice"
mkdir -p folder/$task
cp good.py folder/$task-1.py
cp broken.py folder/$task/x.py
cp good.py folder/nameless.py
echo "no program" > folder/readme.txt
# shellcheck disable=SC2086
"$cadforge" import folder $quick --db lines.db > out 2> err
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 2 ] && grep -q "folder/nameless.py: no task is in its name" err && grep -q "invented_api" out
claim $? "a folder of programs comes in by the names of its files"
cp one/turn-3/shape.step $task.step
echo "no step" > $task-2.step
# shellcheck disable=SC2086
"$cadforge" import $task.step $quick --db lines.db --json > out 2> err
[ $? -eq 0 ] && [ "$(field 1 episode)" = 5 ] && "$cadforge" show 5.1 --db lines.db --artifact shape.step -o back.step 2> err &&
	cmp -s back.step $task.step
claim $? "a part without a program comes in as it is"
# shellcheck disable=SC2086
"$cadforge" import $task-2.step $quick --db lines.db --json > out 2> err
[ "$(field 1 class)" = '"unknown_build_failure"' ]
claim $? "what is no STEP is no part"
"$cadforge" fsck --db lines.db > out 2> err
claim $? "the database is whole after all that"
finish

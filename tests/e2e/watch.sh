#!/bin/sh
# Answers that are executed while they are written: a hopeless one is ended where it failed, and what is built
# of it fails in the same way; others are left alone. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter

# of the first line of out, the text of a key
field() {
	/usr/bin/python3 -c '
import json, sys
o = json.loads(open("out").read().splitlines()[0])
for key in sys.argv[1].split("."):
    o = o[key]
print(o)' "$1"
}

# Writes a bit at a time, as a model does; after the wrong line it would go on for a minute.
cat > model << 'END'
printf 'Here is the part, in mm.\n\n```python\nimport cadquery as cq\n\nW = 40.0\n'
printf 'base = cq.Workplane("XY").box(W, W, 5)\n'
printf 'legs = base.faces("<Z").workplan()\nposts = cq.Work'
for i in $(seq 600); do
	sleep 0.1
	printf 'plane("XY").box(%s, 2, 3)\nnext = cq.Work' "$i"
done
printf 'plane().box(1, 1, 1)\nresult = base\n```\n'
touch written-to-its-end
END
"$cadforge" run four_leg_chair_700n --from-command 'sh ./model' --stop-on-error --turns 3 --json > out 2> err
[ $? -eq 1 ] && [ ! -e written-to-its-end ]
claim $? "a hopeless answer is ended in mid-stream"
[ "$(field finish)" = failed ] && [ "$(field end)" = error ]
claim $? "its finish is failed, and the episode ends"
[ "$(field build.line)" = 5 ] && field build.error | grep -q "did you mean 'workplane'"
claim $? "the build of what was executed fails at the line that failed"
[ "$(field build.statements_done)" = 3 ] && [ "$(field build.class)" = invented_api ]
claim $? "and for the same reason"
total=$(field reward.total)

"$cadforge" show 1.1 --code > out 2> err
tail -n 1 out | grep -q '^legs = base.faces("<Z").workplan()$'
claim $? "the stored program ends with that line"
"$cadforge" show 1.1 --events > out 2> err &&
	grep ' early ' out | grep -q '"line":5,"name":"base","error":".*did you mean'
claim $? "what was known early is among the events"
/usr/bin/python3 -c 'import sys; sys.exit(not float(sys.argv[1]) < -0.6)' "$total"
claim $? "to have been ended early is worth nothing"

# What is no error ends nothing; neither does talk that is no Python, nor an error in a group.
cat > good << 'END'
printf 'Plan = a plate.\nThen: a hole (\n```\nnot python at all\n```\nSo:\n```python\nimport cadquery as cq\n'
sleep 0.3
printf 'fixture = cq.Workplane("XY").box(40, 40, 5)\n'
sleep 0.3
printf 'print("whole")\n```\n'
END
"$cadforge" run four_leg_chair_700n --from-command 'sh ./good' --stop-on-error --turns 1 --json > out 2> err
[ $? -eq 0 ] && [ "$(field finish)" = stop ] && grep -qx whole err
claim $? "an answer that builds is left alone"
"$cadforge" run four_leg_chair_700n --from-command 'printf "\`\`\`python\nimport cadquery as cq\nx = y\n"; sleep 0.5; echo "z = 1"; echo "\`\`\`"' \
	--stop-on-error --group 2 --turns 1 --json > out 2> err
[ $? -eq 1 ] && [ "$(field finish)" = stop ] && [ "$(wc -l < out)" -eq 2 ]
claim $? "of a group nothing is ended early"
"$cadforge" run four_leg_chair_700n --from-command 'printf "\`\`\`python\nimport cadquery as cq\nx = y\n"; sleep 0.5; echo "z = 1"; echo "\`\`\`"' \
	--turns 1 --json > out 2> err
[ $? -eq 1 ] && [ "$(field finish)" = stop ]
claim $? "and nothing is without --stop-on-error"

finish

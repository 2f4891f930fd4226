#!/bin/sh
# The failing programs of the parity set, mined: scored into a store, counted per class as the
# published classifier counts them, weighed by the formula, shown with their errors. Needs the set:
# $CADFORGE_SHARED/parity or ../shared/parity beside the sources. Run by make check; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
[ -f "$parity/expected.jsonl" ] || skip_all "no parity set in ${CADFORGE_SHARED:-$srcdir/../shared}"
need_python
enter

# plan: what did not build, by the level of its task; files.LEVEL, task.LEVEL, wanted.json {class: [count, mean difficulty]}
/usr/bin/python3 - "$parity" "$CADFORGE_TASKS/cadforge" << 'EOF2' > /dev/null 2> err
import collections, json, pathlib, sys
parity, tasks = map(pathlib.Path, sys.argv[1:])
level = {p.stem: json.load(open(p))["level"] for p in tasks.glob("*.json") if p.stem != "pack"}
difficulty = {"easy": 1.0, "medium": 1.5, "hard": 2.0}
files, one, count = collections.defaultdict(list), {}, collections.defaultdict(list)
for row in map(json.loads, open(parity / "expected.jsonl")):
    if not row["env"].startswith("ocp781") or row["mode"] != "fast" or row["ref"] != "markus" or row["build_ok"]:
        continue
    lv = level[row["task"]]
    files[lv].append(str(parity / (row["case"] + ".py")))
    one.setdefault(lv, row["task"])
    count[row["failure_class"]].append(difficulty[lv])
for lv in files:
    pathlib.Path("files." + lv).write_text("\n".join(files[lv]) + "\n")
    pathlib.Path("task." + lv).write_text(one[lv] + "\n")
json.dump({c: [len(v), sum(v) / len(v)] for c, v in count.items()}, open("wanted.json", "w"))
EOF2
[ -s wanted.json ] && [ -s files.easy ]
claim $? "$(cat files.* | wc -l) programs of the set do not build"

failed=0
for list in files.*; do
	k=$(wc -l < "$list")
	# the class of a failure does not hang on its task: one group a level, all members of one turn
	xargs "$cadforge" run "$(cat "task.${list#files.}")" --quiet --profile seed-fast --wall 10 --turns 1 --group "$k" --from < "$list" > out 2> err
	rc=$? # 123: the run's own 1, nothing of it was built
	[ $rc -eq 0 ] || [ $rc -eq 123 ] || failed=1
done
[ $failed -eq 0 ]
claim $? "they are scored into a store, as members of a group for each level"

counts='
import json, sys
wanted = json.load(open("wanted.json"))
rows = [json.loads(l) for l in open("out")]
got = {r["class"]: r for r in rows if "class" in r}
wrong = ["%s: %s and not %d" % (c, got[c]["count"], w[0]) for c, w in wanted.items() if got[c]["count"] != w[0]]
wrong += ["%s: %s and not 0" % (c, r["count"]) for c, r in got.items() if c not in wanted and r["count"]]
last = rows[-1]
if last["completions"] != sum(w[0] for w in wanted.values()) or last["built"]:
    wrong.append(str(last))
'
$cadforge curriculum --json > out 2> err && /usr/bin/python3 -c "$counts
sys.exit('; '.join(wrong) or 0)" 2> err
claim $? "curriculum counts each class as the published classifier does"
/usr/bin/python3 -c "$counts
for c, w in wanted.items():
    r = got[c]
    if abs(r['weight'] - r['base'] * 0.25 * w[1]) > 1e-9 or abs(r['mastery'] - 0.5) > 1e-12:
        wrong.append('%s weighs %s, base %s, difficulty %s' % (c, r['weight'], r['base'], w[1]))
sys.exit('; '.join(wrong) or 0)" 2> err
claim $? "none was repaired yet: m is 0.5, and the weight base x (1 - m)^2 x difficulty"
/usr/bin/python3 -c "$counts
for c, w in wanted.items():
    v = got[c]['examples']
    if len(v) != min(5, w[0]) or v[0]['turn'] != got[c]['newest'] or not all(x['error'] and x['task'] for x in v):
        wrong.append('%s: %s' % (c, v))
names = got['undefined_name']['examples'], got['invented_api']['examples']
if not any('NameError' in x['error'] for x in names[0]) or not any('AttributeError' in x['error'] for x in names[1]):
    wrong.append(str(names))
sys.exit('; '.join(wrong) or 0)" 2> err
claim $? "each class has its newest examples with their errors"

$cadforge curriculum > out 2> err && grep -q "Stage foundation, since 0 of the newest" out && grep -q "^  syntax_closure .*SyntaxError" out
claim $? "people are told why the stage is what it is, and what the newest of each died of"
# the published weight: build rate 0 of every task, so 2 x (1 + 0.2 x (classes - rank))
$cadforge curriculum --weight seed --json > out 2> err && /usr/bin/python3 -c "$counts
rank = {c: i + 1 for i, (c, w) in enumerate(sorted(wanted.items(), key=lambda x: -x[1][0]))}
for c, w in wanted.items():
    if list(v[0] for v in wanted.values()).count(w[0]) == 1:
        want = round(2 * (1 + 0.2 * (len(wanted) - rank[c])), 4)
        if abs(got[c]['weight'] - want) > 1e-9:
            wrong.append('%s: %s and not %s' % (c, got[c]['weight'], want))
sys.exit('; '.join(wrong) or 0)" 2> err
claim $? "--weight seed gives the published code's weights"

$cadforge curriculum next 64 --json > out 2> err && [ "$(wc -l < out)" -eq 64 ] && /usr/bin/python3 -c "
import json, sys
wanted = json.load(open('wanted.json'))
rows = [json.loads(l) for l in open('out')]
sys.exit(not (all(r['kind'] == 'repair' and r['turn'] and r['why'] for r in rows) and {r['class'] for r in rows} <= set(wanted)))" 2>> err
claim $? "and the next batch repairs them"
finish

#!/bin/sh
# Episodes out, in again and verified: what leaves comes back as it was, what is built again is what
# was stored. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter
CADFORGE_DB=$work/a.db

printf 'import cadquery as cq\nfixture = cq.Workplane().bix(1, 2, 3)\n' > broken.py
printf 'import cadquery as cq\nlength = 128.0\nfixture = cq.Workplane().box(length, 14, 32)\nprint("a plain block")\n' > good.py
"$cadforge" run drawer_handle_two_bolt --profile exact-train --reference none --quiet --from broken.py good.py > out 2> err
claim $? "an episode of two turns"

# ---- verify ----
answers 2 "was expected" verify && answers 2 "" verify zwei && answers 2 "there is no episode" verify 77
claim $? "verify says what it wants"
answers 0 "2 turns: 2 the same, 0 differ, 0 could not be verified" verify 1
claim $? "what is built again is what was stored"
answers 0 '"verdict":"same"' verify 1.2 --json && [ "$(grep -c . out)" = 1 ] && grep -q '"differences":\[\]' out
claim $? "one turn alone, as JSON"

printf 'import cadquery as cq\nmuch = bytearray(200 << 20)\nfixture = cq.Workplane().box(1, 2, 3)\n' > large.py
"$cadforge" run drawer_handle_two_bolt --profile exact-train --reference none --quiet --memory 100 --from large.py --db l.db > out 2> err
answers 0 "1 the same" verify 1 --db l.db
claim $? "under the limits that it was made under"
"$cadforge" export 1 large --db l.db > out 2> err && sed 's/"limits":/"limits_of_old":/' large/episode.json > e.json && ! cmp -s e.json large/episode.json &&
	mv e.json large/episode.json && answers 0 "" import large --db l2.db && answers 1 "its limits are not recorded: those of now were taken" verify 1 --db l2.db
claim $? "of an episode that does not say them that is told"
sed 's/"limits_of_old":/"limits":/; s/"wall_s":\([[:space:]]*\)45/"wall_s":\11e99/' large/episode.json > e.json && mv e.json large/episode.json &&
	answers 0 "" import large --db l3.db && answers 2 "limits.wall_s: 0.05 to 86400 was expected" verify 1 --db l3.db
claim $? "limits that cannot be are refused"

# ---- out and in again ----
answers 0 "" export 1 one && answers 0 "2 turns" import one --db b.db && answers 0 "" export 1 two --db b.db && diff -r one two
claim $? "exported, imported into an empty database, exported: the same bytes"
answers 0 "2 the same" verify 1 --db b.db
claim $? "and what was built elsewhere is built here alike"

# somebody who says of a program what it did not earn
python3 - one forged << 'PY'
import hashlib, json, shutil, sys
shutil.copytree(sys.argv[1], sys.argv[2])
e = json.load(open(sys.argv[2] + "/episode.json"))
f = sys.argv[2] + "/turn-2/reward.json"
score = json.load(open(f))
score["reward"]["total"] = 0.99
text = json.dumps(score, separators=(",", ":")).encode()
open(f, "wb").write(text)
a = next(a for a in e["turns"][1]["artifacts"] if a["name"] == "reward.json")
a["bytes"], a["sha256"] = len(text), hashlib.sha256(text).hexdigest()
e["origin"] = "forged"
json.dump(e, open(sys.argv[2] + "/episode.json", "w"))
PY
answers 0 "" import forged --db b.db && answers 1 "reward.total: stored 0.99, now 0." verify 2 --db b.db &&
	grep -qF "2 turns: 1 the same, 1 differ, 0 could not be verified" out
claim $? "a reward that its program does not earn is found"
answers 0 "" db prune --episode 1 --best-too --db b.db && answers 0 "2 the same" verify 1 --db b.db
claim $? "shapes and pictures that were pruned are compared by their hashes"
sed 's/drawer_handle_two_bolt/drawer_handle_of_nobody/' forged/turn-1/reward.json > other && mkdir other.d &&
	python3 - forged other other.d << 'PY'
import hashlib, json, shutil, sys
shutil.copytree(sys.argv[1], sys.argv[3], dirs_exist_ok=True)
text = open(sys.argv[2], "rb").read()
open(sys.argv[3] + "/turn-1/reward.json", "wb").write(text)
e = json.load(open(sys.argv[3] + "/episode.json"))
a = next(a for a in e["turns"][0]["artifacts"] if a["name"] == "reward.json")
a["bytes"], a["sha256"] = len(text), hashlib.sha256(text).hexdigest()
e["origin"] = "of another task"
json.dump(e, open(sys.argv[3] + "/episode.json", "w"))
PY
answers 0 "" import other.d --db b.db && answers 1 "the task drawer_handle_of_nobody is not here" verify 3.1 --db b.db
claim $? "what cannot be built again is no \"same\""

# ---- the part, and the replay ----
for x in step stl brep glb png cast; do
	"$cadforge" export 1 part.$x > out 2>> err || break
done
cmp part.step one/turn-2/shape.step && cmp part.stl one/turn-2/shape.stl && cmp part.brep one/turn-2/shape.brep &&
	cmp part.png one/turn-2/sheet.png && [ "$(head -c 4 part.glb)" = glTF ] && head -n 1 part.cast | grep -qF '"version":2'
claim $? "the part of the best turn comes out in every form, and the replay as a cast"
answers 2 "did not build: it has no shape" export 1.1 none.stl && [ ! -e none.stl ]
claim $? "of a turn that did not build there is none"
answers 2 "a whole episode was expected: 1" export 1.2 folder && answers 2 "2 were named" export 1 1 both.step
claim $? "a folder is of an episode, a part of one turn"
# STEP of strangers is read by the jailed scorer and by nobody else
mkdir hostile && : > hostile/drawer_handle_two_bolt-empty.step && head -c 900 part.step > hostile/drawer_handle_two_bolt-cut.step &&
	sed 's/(#[0-9]*/(#1/g' part.step > hostile/drawer_handle_two_bolt-loop.step && head -c 20000 /dev/urandom > hostile/drawer_handle_two_bolt-noise.step
answers 0 "4 came in" import hostile --profile exact-train --reference none --db h.db && [ "$(grep -c 'total -0.1000' out)" -eq 4 ] && answers 0 "" fsck --db h.db
claim $? "STEP files that are none are parts that failed"

# ---- transcripts, and tables of a trainer ----
python3 - > session.jsonl << 'PY'
import json
task = {"task_id": "drawer_handle_two_bolt"}
broken, good = open("broken.py").read(), open("good.py").read()
say = lambda x: print(json.dumps(x))
say({"type": "reset", "data": task})
say({"type": "observation", "data": {"observation": task, "reward": 0.0, "done": False}})
for code, reward in ((broken, -1.0), (good, 0.4)):
    say({"type": "step", "data": {"code": code}})
    say({"type": "observation", "data": {"observation": dict(task, current_code=code), "reward": reward, "done": False}})
say({"type": "step", "data": {"code": "x"}})
say({"type": "error", "data": {"message": "no", "code": "EXECUTION_ERROR"}})
print('{"type": "st')
PY
answers 1 "session.jsonl:3: episode 2, drawer_handle_two_bolt, 2 turns, the best with total" import session.jsonl --profile exact-train --reference none &&
	grep -qF "session.jsonl:9: " err
claim $? "a transcript comes in as an episode, its torn last line is told"
"$cadforge" export 1 first > out 2> err && "$cadforge" export 2 second >> out 2>> err &&
	cmp first/turn-2/program.py second/turn-2/program.py && cmp first/turn-2/shape.brep second/turn-2/shape.brep &&
	grep -qF 'reward\":0.4' second/episode.json
claim $? "the programs, shapes and what the server said are kept"
answers 1 "is in already, as episode 2" import session.jsonl --profile exact-train --reference none && answers 0 "2 the same" verify 2
claim $? "once; and what it earned here is verified"
python3 - > batch.jsonl << 'PY'
import json
good = open("good.py").read()
print(json.dumps({"step": 3, "prompt": ["a", "b"], "completion": [[{"role": "assistant", "content": good}], [{"role": "assistant", "content": "none"}]],
                  "reward": [1.0, 0.0], "task": ["drawer_handle_two_bolt"] * 2}))
PY
answers 0 "batch.jsonl:1: episode 4" import batch.jsonl --profile exact-train --reference none && answers 2 "nowhere.jsonl" import nowhere.jsonl
claim $? "a batch kept by column comes in as an episode a row"
finish

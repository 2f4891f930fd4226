#!/bin/sh
# An episode as it happened: as text, as JSON, as a cast that a terminal can play; Replay in the
# workbench: turns, episodes, playback, judging blind and in pairs, lists. Run by make check in the
# build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
LC_ALL=C.UTF-8 TERM=xterm-256color
export LC_ALL TERM
tmux=
cleanup() {
	[ -z "$tmux" ] || tmux -L "$tmux" kill-server 2> /dev/null
}
need_python
enter

part() { # part SIZE NAME
	printf 'import cadquery as cq\n\nsize = %s\nfixture = cq.Workplane().box(size, 2, 3)\n' "$1" > "$2"
}
part 10 a.py
part 12 b.py
printf 'import cadquery as cq\nfixture = cq.Workplane().box(size, 2, 3)\n' > bad.py
"$cadforge" run wall_j_hook_120n --from bad.py a.py b.py --profile seed-fast --no-gain 0 --quiet > out 2>&1
"$cadforge" run wall_j_hook_120n --from b.py --profile seed-fast --quiet > out 2>&1
"$cadforge" show 1.3 > out 2>&1 && "$cadforge" show 2.1 > out 2>&1
claim $? "there are two episodes to look at"

# ---- as text ----
"$cadforge" replay 1 > out 2> err
[ $? -eq 0 ] && [ ! -s err ] && grep -q '^\[ *[0-9.]*\] turn 1: a first try$' out && grep -q '^size = 12$' out &&
	grep -q "build: .*NameError.*'size'" out && grep -q '\] turn 3: a repair of turn ' out && grep -q '\] the end: ' out
claim $? "replay writes what happened as text"
[ "$(grep -c '^import cadquery' out)" -eq 3 ]
claim $? "each answer is in it once"
"$cadforge" replay 1.2 > out 2> err
[ $? -eq 0 ] && grep -q 'turn 2: ' out && grep -q '^size = 10$' out && ! grep -q 'size = 12' out && ! grep -q 'turn 1 stored' out
claim $? "of a turn only that one"
"$cadforge" replay 1 --json > out 2> err &&
	/usr/bin/python3 - << 'END'
import json
rows = [json.loads(l) for l in open("out")]
at = [r["at"] for r in rows]
assert at == sorted(at) and set(rows[0]) == {"at", "turn", "member", "kind", "data"}
assert [r["data"]["do"] for r in rows if r["kind"] == "decision"][-1] == "end"
assert "".join(r["data"] for r in rows if r["kind"] == "tokens" and r["turn"] == 2) == open("a.py").read()
END
claim $? "as JSON it has every event with its time"
for wrong in "9" "1.9" "x" "1 --speed 17" "1 --cast c --plain" "1 --size 80x24" "1 --cast c --size 80" "" "1 2"; do
	# shellcheck disable=SC2086
	"$cadforge" replay $wrong > out 2> err < /dev/null
	[ $? -eq 2 ] && [ -s err ] && [ ! -s out ] && [ ! -e c ]
	claim $? "'replay $wrong' is refused in words"
done

# ---- as a cast ----
"$cadforge" replay 1 --cast e.cast --size 90x28 --speed 16 > out 2> err && grep -q '^e.cast: [0-9]* frames' err &&
	/usr/bin/python3 - << 'END'
import json
lines = open("e.cast", encoding="utf-8").read().split("\n")
head = json.loads(lines[0])
assert lines[-1] == "" and (head["version"], head["width"], head["height"]) == (2, 90, 28), head
assert isinstance(head["timestamp"], int) and head["env"]["TERM"] == "xterm-256color"
last, said = 0, ""
for l in lines[1:-1]:
    at, kind, data = json.loads(l)
    assert kind == "o" and isinstance(data, str) and data and at >= last, l
    last, said = at, said + data
assert last >= 2 and "fixture" in said and "playing" in said and "held" in said
assert said.index("\x1b[?1049h") < said.index("Replay")
END
claim $? "replay --cast writes an asciicast of the workbench"
"$cadforge" replay 1 --cast - --speed 16 2> err | head -c 13 | grep -q '^{"version":2,'
claim $? "a cast goes to standard output"
"$cadforge" replay 1 --cast /dev/null/c > out 2> err
[ $? -ne 0 ] && grep -q '/dev/null/c' err
claim $? "a cast that cannot be written is told"

# ---- Replay, by a script ----
cat > script << 'END'
3
:wait idle
:save-screen newest
{
:save-screen older
]
:save-screen turn2
d
:save-screen code
}
:save-screen newer
B
:save-screen blind
:episodes
:save-screen blind-list
<Esc>
:search fixture
:save-screen blind-hits
<Esc>
P
:seek 0 1000
:save-screen blind-play
q
J3<Enter>
:save-screen judged
B
:save-screen seen
=
:save-screen pair
)
:save-screen preferred
:undo
:save-screen undone
:judgements
:save-screen said
<Esc>
:show 1.2
:save-screen shown
:filter task=wall_j_hook_120n min=2
:save-screen none
<Esc>
:filter colour=red
:save-screen wrong
:search fixture
:save-screen hits
END
CADFORGE_JUDGE=eve "$cadforge" --script script --size 100x30 > out 2> err
claim $? "the workbench takes a script"
has() { # has FILE TEXT
	grep -qF -e "$2" "$1" || {
		echo "# '$2' is not in $1:"
		sed 's/^/# /' "$1"
		false
	}
}
has newest "episode 2  wall_j_hook_120n  1 turn"
claim $? "Replay begins with the newest episode"
has older "episode 1  wall_j_hook_120n  3 turns" && has older "Diff  turn "
claim $? "{ leads to an older one, its programs beside each other"
has turn2 "Diff  turn " && has code "turn 3" && has code "size = 12"
claim $? "] leads to the next turn, d shows its program"
has newer "episode 2  wall_j_hook_120n"
claim $? "} leads back"
has blind "Hidden until it is judged" && ! grep -q 'total [-0-9]' blind
claim $? "blind, the reward is hidden"
has blind-list "Episodes" && has blind-hits "Turns with fixture" && has blind-play "[held]" &&
	! grep -E '[-+ ][0-9]\.[0-9]{3}' blind blind-list blind-hits blind-play | sed 's/^/# /' | grep .
claim $? "and in lists, and while it is played"
sed -n 1p blind | grep -q ' blind$' && ! grep -q 'by .*file' blind
claim $? "no row names a model"
has judged "judged 2.1: 3 of 5, as eve" && has judged "total "
claim $? "a judgement shows it, and is kept with who"
has seen "no longer blind"
claim $? "B again ends that"
has pair "Which is better" && has pair "size = 1"
claim $? "= sets two programs beside each other"
has preferred "left was "
claim $? "a preference says what was compared"
has undone "taken back"
claim $? "and is taken back by undo"
has said "3 of 5" && has said "taken back"
claim $? "all that was said is listed"
has shown "episode 1  wall_j_hook_120n" && has shown "turn 2"
claim $? ":show leads to a turn"
has none "No episode fits" && has wrong "task=, class=, model="
claim $? ":filter says what it understands, and that nothing fits"
has hits "Turns with fixture" && has hits "1.2"
claim $? "words are found, and their turns listed"
"$cadforge" judgements > out 2> err && grep -q 'eve: 3 of 5' out && grep -qE '(over|level):' out && grep -q 'withdrawn' out
claim $? "what was judged in the workbench is in the database"

cat > script << 'END'
3
:show 1.1
:seek 0 1000
:save-screen end
,
:save-screen before
:seek 0 500
:save-screen half
q
:show 1.2
f
:wait idle
:save-screen forked
END
"$cadforge" --script script --size 160x50 > out 2> err && has end "turn 3 done" && has before "[held]" &&
	! grep -qE '\[held\] .* 0:00 / ' before && grep -qE 'turn [23] (build|score|commit)' before && grep -q '\[held\]' half
claim $? "a playback is held where it was asked for, also in another turn"
has forked "turn 2   profile seed-fast"
claim $? "a turn that one goes on from stands there with all of its score"

# ---- in a terminal ----
if command -v tmux > /dev/null; then
	tmux=cadforge-replay-$$
	wait_for() { # wait_for TEXT
		i=0
		until tmux -L "$tmux" capture-pane -p > screen 2> /dev/null && grep -qF -e "$1" screen; do
			i=$((i + 1))
			if [ $i -ge 200 ]; then
				echo "# '$1' did not come:"
				sed 's/^/# /' screen
				return 1
			fi
			/usr/bin/python3 -c 'import time; time.sleep(0.05)'
		done
	}
	tmux -f /dev/null -L "$tmux" new-session -d -x 80 -y 24 "$cadforge replay 1 --speed 16; echo status \$?; read x"
	wait_for "[held]"
	claim $? "replay plays an episode in the workbench and holds at its end"
	tmux -L "$tmux" send-keys q
	wait_for "best "
	claim $? "q shows it as it stands"
	tmux -L "$tmux" send-keys Q
	wait_for "status 0"
	claim $? "and Q leaves, the terminal as it was"
else
	skip "replay plays in the workbench" "tmux is not installed"
fi
finish

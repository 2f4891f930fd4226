#!/bin/sh
# The workbench in a real terminal (tmux): opening, running, resizing, dying and coming back; two on
# one database. Every wait is for something that must come up on the screen. Speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
tmux=cadforge-workbench-$$
cleanup() {
	[ -n "${tmux:-}" ] && tmux -L "$tmux" kill-server 2> /dev/null
	# hosts of our own database alone
	for db in "$work"/*.db; do
		[ -e "$db" ] && "$cadforge" detach --db "$db" > /dev/null 2>&1
	done
}
shown="screen out err"
enter
mkdir -m 700 run
XDG_RUNTIME_DIR=$work/run
export XDG_RUNTIME_DIR
unset CADFORGE_DB
LC_ALL=C.UTF-8 VISUAL=true
export LC_ALL VISUAL

# ---- without a terminal ----

"$cadforge" > out 2> err < /dev/null
[ $? -eq 2 ] && grep -q "the workbench" err && [ ! -s out ]
claim $? "without a terminal and without a verb it says how it is used"
"$cadforge" --db a.db > out 2> err < /dev/null
[ $? -eq 2 ] && grep -q "needs a terminal" err
claim $? "flags alone say that the workbench needs a terminal"

printf 'import cadquery as cq\nprint("a plain block")\nlength = 160.0\nfixture = cq.Workplane().box(length, 38, 40)\n' > good.py
cat > keys << 'KEYS'
# a task, a program, a picture of it
/drawer
<Enter>
:save-screen tasks.txt
<Enter>
:set command "cat good.py"
:set profile exact-train
:set reference none
<Enter>
:wait idle
:save-screen live.txt
:save-screen live.svg
KEYS
TERM=dumb "$cadforge" --db a.db --script keys > out 2> err < /dev/null
claim $? "a script of keys runs without a terminal"
grep -q "1 Tasks\]" tasks.txt && grep -q "drawer_handle_two_bolt" tasks.txt && ! grep -q "caster_wheel_fork" tasks.txt
claim $? "its screens are files: a filtered list of tasks"
cp live.txt screen
grep -q "2 Live\]" live.txt && grep -q "a plain block" live.txt && grep -q "stored  turn 1 of episode 1" live.txt
claim $? "and a program that was written, built, scored and stored"
[ "$(head -c 4 live.svg)" = "<svg" ] || grep -q "<svg" live.svg
claim $? "one of them is a picture"
printf 'j\n<Nokey>\n' > badkeys
"$cadforge" --db a.db --script badkeys > out 2> err < /dev/null
[ $? -eq 2 ] && grep -q "badkeys:2" err
claim $? "a script with a wrong key is told by its line"
"$cadforge" show 1.1 --db a.db > out 2> err && grep -q "drawer_handle_two_bolt" out
claim $? "what the workbench ran is in the database for every verb"

if ! command -v tmux > /dev/null; then
	for what in "opens in a terminal" "is resized" "is killed and opened again" "shares its database"; do
		n=$((n + 1))
		echo "ok $n - the workbench $what # SKIP tmux is not installed"
	done
	echo "1..$n"
	exit $bad
fi

# ---- in a terminal ----

# sees TEXT: until it stands on the screen, for 15 seconds
sees() {
	k=0
	until tmux -L "$tmux" capture-pane -p -t "${pane:-w}" > screen 2> /dev/null && grep -qF -e "$1" screen; do
		k=$((k + 1))
		[ $k -gt 150 ] && return 1
		sleep 0.1
	done
}
# sees_not TEXT: until it does not stand there any more
sees_not() {
	k=0
	while tmux -L "$tmux" capture-pane -p -t "${pane:-w}" > screen 2> /dev/null && grep -qF -e "$1" screen; do
		k=$((k + 1))
		[ $k -gt 150 ] && return 1
		sleep 0.1
	done
}
press() { tmux -L "$tmux" send-keys -t "${pane:-w}" "$@"; }
open() { # open NAME SIZE ARGUMENTS...
	name=$1 cols=${2%x*} rows=${2#*x}
	shift 2
	tmux -f /dev/null -L "$tmux" new-session -d -s "$name" -x "$cols" -y "$rows" \
		"stty -a > stty.before; '$cadforge' $* 2> err; s=\$?; stty -a > stty.after; echo \"status \$s\"; read x"
	pane=$name
}
pid_of() { # of the workbench in that session
	child_of "$(tmux -L "$tmux" list-panes -t "$1" -F '#{pane_pid}')" cadforge
}
shut() { # ends the session whose program has ended
	tmux -L "$tmux" kill-session -t "$pane" 2> /dev/null
}

# a server without a session ends, and takes its time about it
tmux -f /dev/null -L "$tmux" new-session -d -s keeper "read x"
open w 80x24 --db b.db
sees "[1 Tasks]" && sees "tasks, 0 built" && sees "? help"
claim $? "it opens on the tasks at 80x24"
tmux -L "$tmux" resize-window -t w -x 160 -y 50
sees "[1 Tasks]" && [ "$(wc -l < screen)" -ge 49 ]
claim $? "and at 160x50"
tmux -L "$tmux" resize-window -t w -x 52 -y 16
sees "60x18 needed"
claim $? "below 60x18 it says so"
for size in 20x5 200x60 61x19 500x100 80x24 33x40 120x20 10x3 90x30 80x24; do
	tmux -L "$tmux" resize-window -t w -x "${size%x*}" -y "${size#*x}"
done
sees "[1 Tasks]" && sees "? help" && sees "tasks, 0 built"
claim $? "a storm of sizes leaves it whole"

press "/" && press "chair_700n" Enter && sees "four_leg_chair_700n" && sees_not "caster_wheel_fork"
claim $? "the list is filtered as one types"
press Enter && sees "[2 Live]" && sees "no model"
claim $? "Enter opens the task, and Live says that there is no model"
press ":set command 'cat good.py'" Enter && sees "command cat good.py"
press ":set profile exact-train" Enter && sees "profile exact-train"
press ":set reference none" Enter && sees "reference none"
press Enter && sees "stored  turn 1 of episode 1"
claim $? "Enter has a program written, built and stored"
press e && sees "nothing is built"
claim $? "the editor gets the terminal and gives it back"
printf '#!/bin/sh\nsed -i s/38/39/ "$1"\n' > edit.sh
chmod +x edit.sh
press b && sees "stored  turn 2 of episode 1"
claim $? "what stands in Code is built by hand as a turn"

# killed without a word
kill -9 "$(pid_of w)"
sees "status 137"
grep -q "cadforge attach" err
claim $? "killed, it leaves a terminal in which one can work, and says what goes on"
# the guard sets the modes a moment before or after the shell looks at them
stty_same() { diff stty.before stty.after > out 2>&1; }
press x Enter
shut
open w 80x24 --db b.db
sees "[2 Live]" && sees "four_leg_chair_700n  turn"
claim $? "opened again it stands where it was"

# ended by the system
kill -TERM "$(pid_of w)"
sees "status 143" && [ -s stty.after ] && stty_same
claim $? "ended by SIGTERM it gives the terminal back as it was"
shut

# the line breaks while an answer comes
printf '#!/bin/sh\ncat good.py; echo "# one"; while [ ! -e go ]; do sleep 0.1; done; echo "# two"\n' > slow.sh
chmod +x slow.sh
open w 80x24 --db b.db
sees "[2 Live]"
press ":set command ./slow.sh" Enter && sees "./slow.sh"
press Enter && sees "turn 3"
sees "# one" || sees "length = 160"
tmux -L "$tmux" kill-session -t w
open w 80x24 --db b.db
sees "[2 Live]" && sees "length = 160" && sees "turn 3"
claim $? "the line breaks in mid-answer; the next workbench shows what had come"
: > go
sees "stored  turn 3 of episode 1"
claim $? "and sees it end"

# two on one database
open v 80x24 --db b.db
press 1 && sees "four_leg_chair_700n" && sees "episodes"
"$cadforge" run wall_j_hook_120n --db b.db --profile exact-train --reference none --quiet --from good.py > out 2> err
pane=v sees "2 episodes"
claim $? "another process's episode is counted at once"
press Q && sees "status 0"
claim $? "Q leaves"
shut
pane=w
press 3 && sees "[3 Replay]" && sees "episode"
claim $? "Replay shows what was stored"
press Q && sees "status 0" && stty_same
claim $? "and the terminal is as it was before"
shut

finish

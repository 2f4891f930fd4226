#!/bin/sh
# The database from the command line: list, show, search, compare, judge, check, copy, thin out; and
# what careless hands give these verbs. Run by make check in the build folder; speaks TAP.
set -u
: "${srcdir:=.}"
CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-${PYTHON_ENV:-}}
CADFORGE_TASKS=$(cd "$srcdir" && pwd)/tasks
export CADFORGE_PYTHON_ENV CADFORGE_TASKS
n=0 bad=0
claim() { # claim STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# out: /' out 2> /dev/null | head -n 20
		sed 's/^/# err: /' err 2> /dev/null | head -n 20
		bad=1
	fi
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cadforge=$PWD/cadforge
cd "$work" || exit 1
XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache
export XDG_DATA_HOME XDG_CACHE_HOME
unset CADFORGE_DB

# expect STATUS TEXT ARGUMENTS...: cadforge's exit status and, on stdout or stderr, TEXT
expect() {
	want=$1 text=$2
	shift 2
	"$cadforge" "$@" > out 2> err
	[ $? -eq "$want" ] && { [ -z "$text" ] || cat out err | grep -qF -e "$text"; }
}

expect 2 "there is no database there yet" episodes
claim $? "a list of no database says what makes one"
[ ! -e data ]
claim $? "and makes none"
expect 2 "there is no database there yet" fsck && expect 2 "there is no database there yet" judge 1.1 --grade 3 &&
	expect 2 "there is no database there yet" db prune --older 1d && [ ! -e data ]
claim $? "nor do the other verbs"

printf 'import cadquery as cq\nfixture = cq.Workplane().bix(1, 2, 3)\n' > broken.py
printf 'import cadquery as cq\nlength = 128.0\nfixture = cq.Workplane().box(length, 14, 32)\nprint("a plain block")\n' > good.py
"$cadforge" run drawer_handle_two_bolt --profile exact-train --reference none --quiet \
	--from broken.py good.py > out 2> err
claim $? "an episode is played into the user's own database"
[ -f data/cadforge/sessions.db ] && [ "$(stat -c %a data/cadforge)" = 700 ]
claim $? "whose folder is the user's alone"

expect 0 "drawer_handle_two_bolt" episodes
claim $? "the list has it"
expect 0 '"best":2' episodes --json
claim $? "and as JSON which turn is the best"
expect 0 "drawer_handle" episodes --class invented_api && expect 0 "no episode fits" episodes --class undefined_name
claim $? "by failure class it is there or not"
expect 0 "no episode fits" episodes --min 0.99 && expect 0 "drawer" episodes --min 0 --since 1h --task drawer_handle_two_bolt
claim $? "by total, time and task too"
expect 2 "one of build_ok" episodes --class nonsense && expect 2 "a time was expected" episodes --since yesterday &&
	expect 2 "a number from -1 to 1" episodes --min x
claim $? "a filter that makes no sense is told with what would"

expect 0 "*" show 1 && grep -q "invented_api" out
claim $? "an episode is shown as its tree"
expect 0 "a plain block" show 1.2 && grep -q "length = 128.0" out && grep -q "total" out
claim $? "a turn is shown with program, log and score"
"$cadforge" show 1.2 --code > out 2> err && [ "$(cat out)" = "$(cat good.py)" ]
claim $? "its program alone comes out as it is, to go into a file"
"$cadforge" show 1.2 --json > out 2> err && /usr/bin/python3 -c '
import json
o = json.load(open("out"))
assert o["score"]["reward"]["total"] == o["total"] and o["parent"] == 1 and o["program"].startswith("import")
assert len(o["hash"]) == 64 and {a["name"] for a in o["artifacts"]} >= {"reward.json", "program.py"}'
claim $? "as JSON it has the score, the parent, the link of the chain"
"$cadforge" show 1.2 --artifact shape.brep -o part.brep > out 2> err && "$cadforge" build part.brep > out 2>> err
claim $? "an artifact that is taken out can be used"
expect 0 "decision" show 1.2 --events && expect 0 "prompt: " show 1.2 --prompt
claim $? "its events and its prompt are there"
expect 2 "no episode 7: they are numbered from 1 to 1" show 7 && expect 2 "episode 1 has turns 1 to 2" show 1.9 &&
	expect 2 "a turn of one (12.3) was expected, got 'x'" show x && expect 2 "a turn is expected" show 1 --code &&
	expect 2 "it has" show 1.2 --artifact nothing -o x
claim $? "what is not there is named with what is"

expect 0 "1.2" search plain block && expect 1 "found nowhere" search nothinglikethis &&
	expect 0 '"where":"program"' search --json program:bix && expect 2 "words to search for" search
claim $? "words are found where they are"
expect 1 "found nowhere" search 'cq.Workplane( AND (OR NEAR) nothinglikethis' && expect 0 "1.1" search 'Workplane().bix(1, 2, 3)'
claim $? "what the index has as its own signs are letters here"

expect 0 "+fixture = cq.Workplane().box(length, 14, 32)" diff 1.2 && grep -q "invented_api -> " out
claim $? "a turn is set beside its parent"
expect 0 "the programs are equal" diff 1 1.2 && expect 0 '"delta":{"total":' diff 1.1 1.2 --json
claim $? "and an episode's best beside any"
expect 2 "has no parent" diff 1.1
claim $? "a first turn has none, and that is said"

expect 0 "" judge 1.1 --grade 1 --note "a typo" --tag typo --as ann && expect 0 "" judge 1.2 --grade 4 --as ann &&
	expect 0 "" judge 1.2 --grade 4 --as bob && expect 0 "100 % the same" judgements
claim $? "judges' grades are kept, and how far they agree"
expect 0 "1.2 over 1.1" judge pairs && expect 0 '"reward_agrees":1' judgements --json
claim $? "and whether the reward puts turns in the same order"
expect 2 "from 0 to 5" judge 1.2 --grade 9 && expect 2 "a turn is expected" judge 1 --grade 3 &&
	expect 2 "is expected" judge 1.2 && expect 2 "no turn 1.9" judge 1.9 --grade 1
claim $? "a judgement of nothing, or with no sense, is refused"
expect 0 "" judge 1.1 --over 1.2 --as cat && expect 0 "1.1 over 1.2  (beside each other, by cat)" judge pairs &&
	expect 0 "<- against the judge" judge pairs && expect 0 "the reward puts 0 % of 1" judgements &&
	expect 0 '"preferences":1' judgements --json
claim $? "that a turn is better than another is kept"
expect 0 "" judge 1.1 --level 1.2 --as cat && expect 0 "1.1 level with 1.2" judge pairs && ! expect 0 "1.1 over 1.2" judge pairs &&
	expect 0 "" judge 1.1 --withdraw --as cat && expect 0 "1.1 over 1.2" judge pairs &&
	expect 0 "" judge 1.1 --withdraw --as cat && ! expect 0 "by cat" judge pairs
claim $? "the last preference counts, and is taken back"
expect 2 "against itself" judge 1.1 --over 1.1 && expect 2 "no turn 1.9" judge 1.1 --over 1.9 &&
	expect 2 "a turn is expected" judge 1.1 --over 1
claim $? "a preference of nothing is refused"
expect 0 "judgement" search typo
claim $? "what a judge wrote is found"

expect 0 "is whole" fsck
claim $? "the database is whole"
expect 0 "" db backup copy.db && expect 2 "is there already" db backup copy.db && expect 0 "is whole" fsck --db copy.db
claim $? "a copy is whole, and goes over nothing"
expect 0 '"turns":2' db stats --json
claim $? "the statistics count"
expect 2 "what is to be pruned" db prune && expect 0 "would drop" db prune --older 0s --best-too --dry-run &&
	expect 0 "dropped the content" db prune --older 0s --best-too --why "to save room" &&
	expect 2 "was pruned on" show 1.2 --artifact shape.brep -o x && expect 0 "a plain block" show 1.2 &&
	expect 0 "is whole" fsck
claim $? "a prune takes what a build makes again, says so, and leaves all else"

expect 2 "is a folder" episodes --db . && printf 'not a database at all, really' > text.db &&
	expect 2 "is no SQLite database" show 1 --db text.db
claim $? "a folder or a text is no database"
/usr/bin/python3 - copy.db <<'END'
import sys
f = open(sys.argv[1], "r+b")
f.seek(60)
f.write((99).to_bytes(4, "big"))
END
expect 2 "has schema version 99" episodes --db copy.db
claim $? "a newer database is left alone"
rm data/cadforge/sessions.db-* 2> /dev/null
/usr/bin/python3 - data/cadforge/sessions.db <<'END'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.executescript("DROP TRIGGER turns_stay_as_they_are; UPDATE turns SET total = 1 WHERE number = 1")
END
expect 1 "turn 1.1 is not as it was committed" fsck && expect 1 '"loss":true' fsck --json
claim $? "a figure that was changed behind the guards is found"

echo "1..$n"
exit $bad

#!/bin/sh
# The database from the command line: list, show, search, compare, judge, check, copy, thin out; and
# what careless hands give these verbs. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter
unset CADFORGE_DB

answers 2 "there is no database there yet" episodes
claim $? "a list of no database says what makes one"
[ ! -e data ]
claim $? "and makes none"
answers 2 "there is no database there yet" fsck && answers 2 "there is no database there yet" judge 1.1 --grade 3 &&
	answers 2 "there is no database there yet" db prune --older 1d && [ ! -e data ]
claim $? "nor do the other verbs"

printf 'import cadquery as cq\nfixture = cq.Workplane().bix(1, 2, 3)\n' > broken.py
printf 'import cadquery as cq\nlength = 128.0\nfixture = cq.Workplane().box(length, 14, 32)\nprint("a plain block")\n' > good.py
"$cadforge" run drawer_handle_two_bolt --profile exact-train --reference none --quiet \
	--from broken.py good.py > out 2> err
claim $? "an episode is played into the user's own database"
[ -f data/cadforge/sessions.db ] && [ "$(stat -c %a data/cadforge)" = 700 ]
claim $? "whose folder is the user's alone"

answers 0 "drawer_handle_two_bolt" episodes
claim $? "the list has it"
answers 0 '"best":2' episodes --json
claim $? "and as JSON which turn is the best"
answers 0 "drawer_handle" episodes --class invented_api && answers 0 "no episode fits" episodes --class undefined_name
claim $? "by failure class it is there or not"
answers 0 "no episode fits" episodes --min 0.99 && answers 0 "drawer" episodes --min 0 --since 1h --task drawer_handle_two_bolt
claim $? "by total, time and task too"
answers 2 "one of build_ok" episodes --class nonsense && answers 2 "a time was expected" episodes --since yesterday &&
	answers 2 "a number from -1 to 1" episodes --min x
claim $? "a filter that makes no sense is told with what would"

answers 0 "*" show 1 && grep -q "invented_api" out
claim $? "an episode is shown as its tree"
answers 0 "a plain block" show 1.2 && grep -q "length = 128.0" out && grep -q "total" out
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
answers 0 "decision" show 1.2 --events && answers 0 "prompt: " show 1.2 --prompt
claim $? "its events and its prompt are there"
answers 2 "no episode 7: they are numbered from 1 to 1" show 7 && answers 2 "episode 1 has turns 1 to 2" show 1.9 &&
	answers 2 "a turn of one (12.3) was expected, got 'x'" show x && answers 2 "a turn is expected" show 1 --code &&
	answers 2 "it has" show 1.2 --artifact nothing -o x
claim $? "what is not there is named with what is"

answers 0 "1.2" search plain block && answers 1 "found nowhere" search nothinglikethis &&
	answers 0 '"where":"program"' search --json program:bix && answers 2 "words to search for" search
claim $? "words are found where they are"
answers 1 "found nowhere" search 'cq.Workplane( AND (OR NEAR) nothinglikethis' && answers 0 "1.1" search 'Workplane().bix(1, 2, 3)'
claim $? "what the index has as its own signs are letters here"

answers 0 "+fixture = cq.Workplane().box(length, 14, 32)" diff 1.2 && grep -q "invented_api -> " out
claim $? "a turn is set beside its parent"
answers 0 "the programs are equal" diff 1 1.2 && answers 0 '"delta":{"total":' diff 1.1 1.2 --json
claim $? "and an episode's best beside any"
answers 2 "has no parent" diff 1.1
claim $? "a first turn has none, and that is said"

answers 0 "" judge 1.1 --grade 1 --note "a typo" --tag typo --as ann && answers 0 "" judge 1.2 --grade 4 --as ann &&
	answers 0 "" judge 1.2 --grade 4 --as bob && answers 0 "100 % the same" judgements
claim $? "judges' grades are kept, and how far they agree"
answers 0 "1.2 over 1.1" judge pairs && answers 0 '"reward_agrees":1' judgements --json
claim $? "and whether the reward puts turns in the same order"
answers 2 "from 0 to 5" judge 1.2 --grade 9 && answers 2 "a turn is expected" judge 1 --grade 3 &&
	answers 2 "is expected" judge 1.2 && answers 2 "no turn 1.9" judge 1.9 --grade 1
claim $? "a judgement of nothing, or with no sense, is refused"
answers 0 "" judge 1.1 --over 1.2 --as cat && answers 0 "1.1 over 1.2  (beside each other, by cat)" judge pairs &&
	answers 0 "<- against the judge" judge pairs && answers 0 "the reward puts 0 % of 1" judgements &&
	answers 0 '"preferences":1' judgements --json
claim $? "that a turn is better than another is kept"
answers 0 "" judge 1.1 --level 1.2 --as cat && answers 0 "1.1 level with 1.2" judge pairs && ! answers 0 "1.1 over 1.2" judge pairs &&
	answers 0 "" judge 1.1 --withdraw --as cat && answers 0 "1.1 over 1.2" judge pairs &&
	answers 0 "" judge 1.1 --withdraw --as cat && ! answers 0 "by cat" judge pairs
claim $? "the last preference counts, and is taken back"
answers 2 "against itself" judge 1.1 --over 1.1 && answers 2 "no turn 1.9" judge 1.1 --over 1.9 &&
	answers 2 "a turn is expected" judge 1.1 --over 1
claim $? "a preference of nothing is refused"
answers 0 "judgement" search typo
claim $? "what a judge wrote is found"

answers 0 "is whole" fsck
claim $? "the database is whole"
answers 0 "" db backup copy.db && answers 2 "is there already" db backup copy.db && answers 0 "is whole" fsck --db copy.db
claim $? "a copy is whole, and goes over nothing"
answers 0 '"turns":2' db stats --json
claim $? "the statistics count"
answers 2 "what is to be pruned" db prune && answers 0 "would drop" db prune --older 0s --best-too --dry-run &&
	answers 0 "dropped the content" db prune --older 0s --best-too --why "to save room" &&
	answers 2 "was pruned on" show 1.2 --artifact shape.brep -o x && answers 0 "a plain block" show 1.2 &&
	answers 0 "is whole" fsck
claim $? "a prune takes what a build makes again, says so, and leaves all else"

answers 2 "is a folder" episodes --db . && printf 'not a database at all, really' > text.db &&
	answers 2 "is no SQLite database" show 1 --db text.db
claim $? "a folder or a text is no database"
/usr/bin/python3 - copy.db <<'END'
import sys
f = open(sys.argv[1], "r+b")
f.seek(60)
f.write((99).to_bytes(4, "big"))
END
answers 2 "has schema version 99" episodes --db copy.db
claim $? "a newer database is left alone"
rm data/cadforge/sessions.db-* 2> /dev/null
/usr/bin/python3 - data/cadforge/sessions.db <<'END'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.executescript("DROP TRIGGER turns_stay_as_they_are; UPDATE turns SET total = 1 WHERE number = 1")
END
answers 1 "turn 1.1 is not as it was committed" fsck && answers 1 '"loss":true' fsck --json
claim $? "a figure that was changed behind the guards is found"

finish

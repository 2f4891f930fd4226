#!/bin/sh
# The verbs tasks and prompts, packs of a user's own, and the published schemas.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
schema_py=$here/tests/e2e/tasks_schema.py
enter
unset VISUAL EDITOR

# expect STATUS FILE TEXT COMMAND...: its exit status and TEXT in FILE (out, err)
expect() {
	want=$1 file=$2 text=$3
	shift 3
	"$@" > out 2> err
	got=$?
	if [ "$got" -ne "$want" ] || ! grep -qF -e "$text" "$file"; then
		echo "# $*: status $got (want $want); in $file: $(head -c 600 "$file")"
		return 1
	fi
}

"$cadforge" tasks > out 2> err && [ "$(wc -l < out)" -eq 25 ] && ! grep -q MISSING out
claim $? "25 tasks are listed, each with a reference that is there"
"$cadforge" tasks --json > out && [ "$(grep -c '"pack":"cadforge"' out)" -eq 25 ]
claim $? "a line of JSON a task"
expect 0 out "orientation " "$cadforge" tasks show office_chair
claim $? "a task is shown"
expect 0 out '"hash":"' "$cadforge" tasks show --json office_chair
claim $? "a task is shown as JSON"
expect 2 err "the nearest is office_chair" "$cadforge" tasks show ofice_chair
claim $? "an unknown task names the nearest"
expect 0 out "Box of the part: 680 x 680 x 1200 mm" "$cadforge" tasks show --prompt office_chair
claim $? "what a model is told is shown"
expect 2 err "'prune': nothing, show, check, new or edit was expected" "$cadforge" tasks prune
claim $? "an unknown word is told"
expect 0 out " 0 mistakes" "$cadforge" tasks check "$CADFORGE_TASKS/cadforge"
claim $? "our own pack has no mistake"

# ---- a new task ----
expect 0 out "own/pack_of/plate.json" "$cadforge" tasks new own/pack_of/plate
claim $? "a new task is written where it was asked for"
expect 0 out "1 task in 1 pack: 0 mistakes, 0 remarks" "$cadforge" tasks check own/pack_of
claim $? "and is whole"
expect 2 err "is there already" "$cadforge" tasks new own/pack_of/plate
claim $? "a task that is there is not written over"
expect 2 err "can be no task's id" "$cadforge" tasks new own/pack_of/Plate
claim $? "a name that is no id is told"
if [ -f "$CADFORGE_PYTHON_ENV/pyvenv.cfg" ]; then
	expect 0 out "1 task in 1 pack: 0 mistakes" "$cadforge" tasks check --build own/pack_of
	claim $? "its reference builds and reaches 0.95"
	sed -i 's/2, 2)/2, 1)/' own/pack_of/references/plate.py
	expect 1 out "bolt_holes: " "$cadforge" tasks check --build own/pack_of
	claim $? "a reference that falls short is told with the check that fails"
	echo "fixture = cq.Workplan()" >> own/pack_of/references/plate.py
	expect 1 out "does not build: line 31: " "$cadforge" tasks check --build own/pack_of
	claim $? "a reference that does not build is told with its line"
	printf 'solid x\nendsolid x\n' > own/pack_of/references/plate.stl
	sed -i 's/plate\.py/plate.stl/' own/pack_of/plate.json
	expect 1 out "plate.json:" "$cadforge" tasks check --build own/pack_of
	claim $? "a mesh that does not load is told"
else
	for what in builds "falls short" "does not build" "a mesh that does not load"; do
		skip "a reference: $what" "there is no Python environment"
	done
fi

# ---- a pack is a folder dropped into one's own ----
expect 0 out "own/gadget.json" "$cadforge" tasks new gadget
claim $? "without a folder a task goes to the user's own pack"
"$cadforge" tasks > out && [ "$(wc -l < out)" -eq 26 ] && grep -q '^gadget .* own ' out
claim $? "and is listed with the others"
mkdir -p data/cadforge/tasks/broken
echo '{"format": "cadforge-pack-1", "name": "broken", "about": "a"}' > data/cadforge/tasks/broken/pack.json
echo '{' > data/cadforge/tasks/broken/one.json
expect 1 err "left out: $work/data/cadforge/tasks/broken/one.json:1: " "$cadforge" tasks
claim $? "a broken task is left out in words"
[ "$(wc -l < out)" -eq 26 ]
claim $? "and the others come in"
expect 2 err "the task one was left out: " "$cadforge" tasks show one
claim $? "who asks for it hears why"
expect 1 out "broken/one.json:1: " "$cadforge" tasks check
claim $? "all packs are checked when none is named"

# ---- editing ----
EDITOR='sed -i s/easy/eezy/' expect 1 out 'gadget.json:4: level: easy, medium or hard wanted, got "eezy"' \
	"$cadforge" tasks edit gadget
claim $? "a mistake made in the editor is told at once"
EDITOR='sed -i s/eezy/medium/' expect 0 out "0 mistakes" "$cadforge" tasks edit gadget
claim $? "and a task that was left out can be opened again"
EDITOR='false' expect 1 err "the editor 'false' ended with status 1" "$cadforge" tasks edit gadget
claim $? "an editor that fails is told"
EDITOR='no-such-editor' expect 3 err "set VISUAL or EDITOR" "$cadforge" tasks edit gadget
claim $? "an editor that is not there is told"
VISUAL='true' EDITOR='false' expect 0 out "0 mistakes" "$cadforge" tasks edit gadget
claim $? "VISUAL goes before EDITOR"
drop=
if [ "$(id -u)" -eq 0 ]; then
	drop="setpriv --reuid 65534 --regid 65534 --clear-groups"
fi
mkdir -p theirs/shared
cp own/pack_of/pack.json theirs/shared/
"$cadforge" tasks new theirs/shared/bolt > /dev/null
chmod -R a+rX,a-w theirs
mkdir mine && chmod 777 mine && chmod 755 "$work"
if $drop "$cadforge" --version > /dev/null 2>&1; then
	EDITOR='sed -i s/easy/hard/' XDG_DATA_HOME=$work/mine CADFORGE_TASKS=$work/theirs HOME=/nonexistent \
		expect 0 err "its copy is $work/mine/cadforge/tasks/shared" $drop "$cadforge" tasks edit bolt
	claim $? "a pack that may not be written is copied first"
	grep -q '"hard"' mine/cadforge/tasks/shared/bolt.json && grep -q '"easy"' theirs/shared/bolt.json &&
		[ -f mine/cadforge/tasks/shared/references/bolt.py ] && [ -z "$(find mine -name '.copy-*')" ]
	claim $? "whole, and the original is as it was"
	XDG_DATA_HOME=$work/mine CADFORGE_TASKS=$work/theirs expect 0 out "hard" "$cadforge" tasks show bolt
	claim $? "of two tasks of one name the user's counts"
else
	skip "a pack that may not be written is copied first" "the program cannot be run as another user here"
fi
chmod -R u+w theirs

# ---- prompts ----
expect 0 out "default " "$cadforge" prompts
claim $? "the prompt sets are listed"
"$cadforge" prompts show default > out && [ "$(grep -c '^==== repair/' out)" -eq 10 ]
claim $? "a set has a text for each of nine classes and one for checks"
expect 2 err "there are default, demo" "$cadforge" prompts show other
claim $? "an unknown set names those there are"
mkdir -p data/cadforge/tasks/prompts/terse
echo '{"format": "cadforge-prompts-1", "name": "terse", "about": "short", "base": "default"}' \
	> data/cadforge/tasks/prompts/terse/set.json
expect 0 out "terse " "$cadforge" prompts
claim $? "a user's own set is listed"
"$cadforge" prompts diff default terse > out 2> err && [ ! -s out ]
claim $? "sets of equal texts do not differ"
echo 'Write CadQuery for: {prompt}' > data/cadforge/tasks/prompts/terse/task.txt
expect 1 out "+Write CadQuery for: {prompt}" "$cadforge" prompts diff default terse
claim $? "what differs is shown, with status 1"
expect 0 out "Write CadQuery for: Model a flat" "$cadforge" tasks show --prompts terse gadget
claim $? "a task is shown in the words of a set"
echo '{tsak}' > data/cadforge/tasks/prompts/terse/task.txt
expect 2 err "terse/task.txt:1: {tsak}: no such placeholder here" "$cadforge" prompts show terse
claim $? "a placeholder that is none is told with file and line"
expect 1 out "pack.json: a pack needs this file" "$cadforge" tasks check data/cadforge/tasks/prompts
claim $? "a folder that is no pack is told"

# ---- schemas ----
if python3 -c 'import jsonschema' 2> /dev/null; then
	said=$(python3 "$schema_py" "$cadforge" "$CADFORGE_TASKS" "$work" 2>&1)
	status=$?
	echo "$said" | sed 's/^/# /'
	claim $status "the schemas and the program refuse the same files"
else
	skip "the schemas and the program refuse the same files" "python3-jsonschema is not installed"
fi
finish

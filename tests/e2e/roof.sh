#!/bin/sh
# What a careless user does: closed descriptors, pipes that nobody reads, ^C, outputs that cannot be
# written, wrong flags. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter

cat > part.py <<'END'
import cadquery as cq
width = 12
print("first")
print("no end", end="")
fixture = cq.Workplane().box(width, 2, 3)
END
printf 'import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)\n' > box.py
printf 'while True:\n    pass\n' > loop.py

"$cadforge" --version 2> err >&-
[ $? -eq 1 ] && grep -q 'standard output is closed' err
claim $? "a closed standard output is told"
if [ -w /dev/full ]; then
	"$cadforge" --help > /dev/full 2> err
	[ $? -eq 1 ] && grep -q 'standard output could not be written' err
	claim $? "a full disk under --help is told"
fi
expect 2 "--task lacks its value" "$cadforge" score box.py --task
claim $? "a flag without its value is told"
expect 2 "--nope is no flag of score" "$cadforge" score --nope box.py
claim $? "an unknown flag is told"
expect 2 "given as ./-x.py" "$cadforge" score -x.py
claim $? "a file that begins with a dash is told from flags"
expect 2 "a whole number from 1 to 64" "$cadforge" score -j 2.5 box.py
claim $? "a broken number of jobs is told"
expect 2 "an empty word" "$cadforge" build ''
claim $? "an empty name is told"

: > empty
expect 2 "no program in it" "$cadforge" score --list empty
claim $? "an empty list is told"
printf 'box.py\tnone\tmore\n' > three
expect 2 "three:1: " "$cadforge" score --list three
claim $? "a field too many in a list is told with its line"

# checked before anything runs: the program would not end within the test's time
expect 2 "its folder does not exist" "$cadforge" build loop.py -o nowhere/a.step
claim $? "a folder that is not there is told before the build"
mkdir folder.stl
expect 2 "is a folder" "$cadforge" build loop.py -o folder.stl
claim $? "a folder under the output's name is told before the build"
CADFORGE_LIBEXEC=$work/nowhere expect 3 "unset it" "$cadforge" build box.py
claim $? "a wrong CADFORGE_LIBEXEC is named with its remedy"
expect 3 "nowhere" "$cadforge" build --python-env "$work/nowhere" box.py
claim $? "a Python environment that is not there is named"

if [ -n "$CADFORGE_PYTHON_ENV" ] && [ -d "$CADFORGE_PYTHON_ENV" ]; then
	"$cadforge" build box.py --quiet <&- > out 2>&- && grep -q '1 solid' out
	claim $? "standard input and error may be closed"

	"$cadforge" build --dialect open part.py > out 2> err && printf 'first\nno end\n' | cmp -s - err
	claim $? "a last line without its end is shown"
	"$cadforge" build --facts --quiet part.py | grep -q 'name width, value 12, line 2'
	claim $? "facts are shown without --json"

	"$cadforge" build box.py --quiet -o box.stl > out && cp box.stl kept.stl
	ln -s box.stl link.stl
	expect 2 "is the file that is read" "$cadforge" build box.stl -o link.stl &&
		cmp -s box.stl kept.stl
	claim $? "a file is not overwritten with what is made of it"
	mkdir inner
	ln -s inner/real.step link.step
	"$cadforge" build box.py --quiet -o link.step > out && [ -h link.step ] && [ -s inner/real.step ]
	claim $? "an output that is a symbolic link is written where it leads"

	printf '\357\273\277# programs\n\nbox.py\r\npart.py\tnone\n' > list
	"$cadforge" score --list list --task none --dialect open --json --quiet > out 2> err && [ "$(wc -l < out)" -eq 2 ]
	claim $? "a list may have a byte order mark, comments and lines without a task"

	# two of three are finished when the signal comes, and both stand behind the one that is not
	"$cadforge" score -j2 --task none loop.py box.py box.py > out 2> err &
	pid=$!
	sleep 8
	kill -INT $pid
	wait $pid
	[ $? -eq 130 ] && [ "$(grep -c '^box.py: total' out)" -eq 2 ] && grep -q 'interrupted, 2 of 3 done' err
	claim $? "an interrupted score prints what is finished and exits with 130"

	# the first answer (print is no word of the seed dialect) comes at once; the loop alone would take
	# its whole limit
	began=$(date +%s)
	{
		"$cadforge" score -j1 --task none --profile seed-fast --cpu 60 --wall 60 --json part.py loop.py 2> err
		echo $? > status
	} | head -n 1 > out
	[ "$(cat status)" -eq 1 ] && [ ! -s err ] && [ -s out ] && [ $(($(date +%s) - began)) -lt 30 ]
	claim $? "work ends, quietly, when nobody reads the answers"
else
	skip "what a build does under a careless user" "no Python environment"
fi
finish

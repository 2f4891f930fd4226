#!/bin/sh
# Work that outlives its screen: a workbench killed in mid-stream, come back to, let go of; two of
# them on one host. With the real workbench on a script. Run by make check in the build folder;
# speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
need_python
cleanup() {
	for p in $(hosts); do kill -9 "$p" 2> /dev/null; done
}
enter
mkdir -m 700 run
XDG_RUNTIME_DIR=$work/run TERM=xterm-256color
export XDG_RUNTIME_DIR TERM
hosts() { # process numbers of the hosts whose sockets are ours
	ls run/cadforge 2> /dev/null | sed -n 's/.*-\([0-9]*\)\.sock$/\1/p'
}
# The answer: two lines, then it waits at the pipe, then the end.
mkfifo pipe
cat > answer.sh << 'END'
printf 'import cadquery as cq\nWIDTH = 4711\n'
touch began
read x < pipe
printf 'fixture = cq.Workplane().box(10, 20, 30)\n'
END
cat > start.keys << 'END'
:set command sh answer.sh
<Enter>
<Enter>
:wait 600
END

"$cadforge" --detach --script start.keys > out 2> err &
screen=$!
wait_until test -e began
claim $? "a turn begins from the keyboard"
kill -9 $screen
wait $screen 2> /dev/null
host=$(hosts)
[ -n "$host" ] && kill -0 "$host"
claim $? "the workbench is killed in mid-stream and the host is there"
kill -HUP "$host"
"$cadforge" detach > out 2> err
[ $? -eq 1 ] && grep -q "no workbench works on" err
claim $? "detach says that no workbench is there"

look() { # look TEXT: comes back until the screen says so
	i=0
	printf ':wait 0.3\n:save-screen seen\n' > look.keys
	while [ $i -lt 40 ]; do
		i=$((i + 1))
		rm -f seen
		"$cadforge" attach --detach --size 120x40 --script look.keys > out 2> err || return 1
		grep -q -e "$1" seen && return 0
	done
	cp seen out
	return 1
}
look "WIDTH = 4711"
claim $? "attach shows what had come before the line broke"
[ "$(hosts)" = "$host" ]
claim $? "it is the same host"
echo go > pipe
look "box(10, 20, 30)"
claim $? "the turn goes on to its end, with nobody looking or somebody"
i=0
until "$cadforge" show 1.1 > out 2> err || [ $i -ge 300 ]; do
	i=$((i + 1))
	sleep 0.2
done
grep -q "WIDTH = 4711" out
claim $? "the turn is stored whole"
"$cadforge" fsck > out 2> err
claim $? "the database is whole"
kill "$host"
i=0
while [ -n "$(hosts)" ] && [ $i -lt 300 ]; do
	i=$((i + 1))
	sleep 0.1
done
[ -z "$(hosts)" ]
claim $? "a host that is told to end leaves no socket behind"
"$cadforge" attach > out 2> err
[ $? -eq 1 ] && grep -q "nothing works on" err
claim $? "attach says that there is nothing to come back to"
finish

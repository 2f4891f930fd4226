# lib.sh - what the scripts of this folder begin with, run in the build folder:
#
#	: "${srcdir:=.}"
#	. "$srcdir/tests/e2e/lib.sh"
#	enter
#	... claim $? "what holds"
#	finish
#
# Taken from outside: PYTHON_ENV (make's) or CADFORGE_PYTHON_ENV, CADFORGE_SHARED (else ../shared
# beside the sources). Given: $cadforge, $here (the sources), $shared ("" where it is not there),
# $oracle and $parity, folders in it or "", and $work, a folder that goes when the script ends,
# after its own cleanup() if it defines one. Exported: CADFORGE_TASKS, CADFORGE_PYTHON_ENV. No
# model, key or demonstration model of the user's is left in the environment. TAP on stdout.
set -u
n=0 bad=0
cadforge=$PWD/cadforge
here=$(cd "$srcdir" && pwd)
shared=$(cd "${CADFORGE_SHARED:-$here/../shared}" 2> /dev/null && pwd)
oracle=$(cd "${shared:-/nonexistent}/oracle" 2> /dev/null && pwd)
parity=$(cd "${shared:-/nonexistent}/parity" 2> /dev/null && pwd)
unset CADFORGE_MODEL CADFORGE_API_KEY NO_COLOR
CADFORGE_TASKS=$here/tasks CADFORGE_PYTHON_ENV=${CADFORGE_PYTHON_ENV:-${PYTHON_ENV:-}}
CADFORGE_DEMO=/nonexistent # no model but those that a script names
export CADFORGE_TASKS CADFORGE_PYTHON_ENV CADFORGE_DEMO
work=$(mktemp -d)
serving=
cleanup() { :; }
trap 'cleanup; [ -z "$serving" ] || kill -9 "$serving"; cd /; rm -rf "$work"' EXIT
shown="out err" # of these files a claim that failed shows the ends

claim() { # claim STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
		return
	fi
	echo "not ok $n - $2"
	bad=1
	for f in $shown; do
		[ ! -f "$f" ] || tail -n 40 "$f" | cut -c 1-300 | sed "s|^|# $f: |"
	done
}
skip() { # skip TEXT WHY
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}
skip_all() { # skip_all WHY: the script ends
	echo "1..0 # SKIP $1"
	exit 0
}
need_python() { # without CadQuery the script ends
	if [ ! -f "$CADFORGE_PYTHON_ENV/pyvenv.cfg" ] || [ ! -x ./cadforge-builder ]; then
		skip_all "no Python environment with CadQuery: run ./quickstart build"
	fi
}
enter() { # into $work, with data, state, cache and database there
	cd "$work" || exit 1
	XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache CADFORGE_DB=$work/sessions.db
	export XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME CADFORGE_DB
}
expect() { # expect STATUS TEXT COMMAND...: its exit status and, in what it says on stderr, TEXT
	want=$1 text=$2
	shift 2
	"$@" > out 2> err
	[ $? -eq "$want" ] && grep -qF -e "$text" err
}
answers() { # answers STATUS TEXT ARGUMENTS...: cadforge's exit status and, on stdout or stderr, TEXT
	want=$1 text=$2
	shift 2
	"$cadforge" "$@" > out 2> err
	[ $? -eq "$want" ] && { [ -z "$text" ] || cat out err | grep -qF -e "$text"; }
}
wait_until() { # wait_until COMMAND...: at most a minute
	i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -le 1200 ] || return 1
		sleep 0.05
	done
}
child_of() { # child_of PID WORD: its first child that has WORD in its command line; procps is not everywhere
	for status in /proc/[0-9]*/status; do
		child=${status%/status}
		[ "$(sed -n 's/^PPid:[[:space:]]*//p' "$status" 2> /dev/null)" = "$1" ] || continue
		if tr '\0' ' ' < "$child/cmdline" 2> /dev/null | grep -qF -e "$2"; then
			echo "${child#/proc/}"
			return
		fi
	done
}
points() { # points COMMAND...: what speaks TAP itself, from point $n + 1 on; its exit status
	"$@" > "$work/points"
	status=$?
	cat "$work/points"
	n=$((n + $(grep -c -E '^(not )?ok ' "$work/points")))
	[ $status -eq 0 ] || bad=1
	return $status
}
serve_start() { # serve_start FLAG...: cadforge serve at $url, process $serving, what it says in $work/said
	CADFORGE_DB=$work/sessions.db "$cadforge" serve --port 0 "$@" 2> "$work/said" &
	serving=$!
	wait_until serve_settled
	url=$(sed -n 's|.*listening: .*\(http://[^ ,]*:[0-9]*\).*|\1|p' "$work/said" | head -n 1)
	[ -n "$url" ]
}
serve_settled() { grep -q 'listening: ' "$work/said" || ! kill -0 "$serving" 2> /dev/null; }
serve_end() { # told to end; its exit status
	kill -TERM "$serving"
	wait "$serving"
	status=$?
	serving=
	return $status
}
finish() { # the script's last line
	echo "1..$n"
	exit $bad
}

#!/bin/sh
# quickstart without rights, without a network, with a wrong word: what it says, and that it leaves
# what was there. Runs a copy of it in a folder of its own with stand-ins for apt and sudo.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
shown=$work/err
mkdir "$work/tree" "$work/tree/python" "$work/bin"
cp "$srcdir/quickstart" "$work/tree/"
cp "$srcdir/python/requirements.lock" "$work/tree/python/"

stand_in() { # stand_in NAME: a program of that name, its text on stdin
	{
		echo '#!/bin/sh'
		cat
	} > "$work/bin/$1"
	chmod +x "$work/bin/$1"
}
quickstart() {
	status=0
	PATH="$work/bin:$PATH" "$work/tree/quickstart" "$@" > "$work/out" 2> "$work/err" < /dev/null || status=$?
}

quickstart sing
[ $status -eq 2 ] && grep -q "what is 'sing'" "$work/err"
claim $? "an unknown word is wrong usage"
quickstart build twice
[ $status -eq 2 ]
claim $? "two words are wrong usage"
quickstart check --orakel
[ $status -eq 2 ] && quickstart build --oracle && [ $status -eq 2 ]
claim $? "a flag that is not check's is wrong usage"
quickstart --help
[ $status -eq 0 ] && grep -q '^  ./quickstart check' "$work/out"
claim $? "the help names the words"

echo 'exit 0' | stand_in dpkg-query
# shellcheck disable=SC2016
echo 'echo "apt-get $DEBIAN_FRONTEND $*" >> '"$work/apt; exit 100" | stand_in apt-get
echo 'echo 1000' | stand_in id
echo 'exit 1' | stand_in sudo
quickstart build
[ $status -eq 3 ] && [ "$(wc -l < "$work/out")" -eq 1 ] && [ ! -e "$work/apt" ]
claim $? "without rights it exits with 3, prints one line and calls no apt"
grep -q '^sudo apt-get update && sudo apt-get install -y --no-install-recommends .* libseccomp-dev ' "$work/out"
claim $? "the line is what an administrator has to run"

echo 'echo 0' | stand_in id
quickstart build
[ $status -eq 3 ] && grep -q 'apt-update failed; the whole log: build/log/apt-update.log' "$work/err"
claim $? "an apt that fails is told, with its log"
[ "$(grep -c '^apt-get noninteractive install -y ' "$work/apt")" -eq 1 ] &&
	[ "$(tail -n 1 "$work/apt")" = "apt-get noninteractive update" ]
claim $? "apt asks nothing, and its lists are refreshed only after a try"

# All packages there, but no network for pip.
stand_in dpkg-query << 'END'
for p; do case $p in [a-z]*) echo "installed $p" ;; esac; done
END
text="an environment that cannot be renewed stays as it was"
if /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then
	mkdir "$work/tree/.venv"
	echo old > "$work/tree/.venv/cadforge.stamp"
	PIP_NO_INDEX=1 PIP_FIND_LINKS=$work/bin PIP_CONFIG_FILE=/dev/null
	export PIP_NO_INDEX PIP_FIND_LINKS PIP_CONFIG_FILE
	quickstart build
	[ $status -eq 3 ] && [ "$(cat "$work/tree/.venv/cadforge.stamp")" = old ] &&
		grep -q 'python failed; the whole log: build/log/python.log' "$work/err"
	claim $? "$text"
else
	skip "$text" "/usr/bin/python3 is not 3.11 with ensurepip"
fi
finish

#!/bin/sh
# tests/tally counts what it should: a crash is a failure, a skip is named, nothing run is no success.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
# ended NAME RESULT: a finished test whose log comes on stdin
ended() {
	cat > "$work/$1.log"
	printf ':test-result: %s\n:global-test-result: %s\n' "$2" "$2" > "$work/$1.trs"
}
counts() { # counts STATUS LINE
	said=$("$srcdir/tests/tally" "$work")
	[ $? -eq "$1" ] && [ "$(printf '%s\n' "$said" | tail -n 1)" = "$2" ]
}

counts 1 "0 passed, 0 failed, 0 skipped"
claim $? "no test at all is no success"

ended t_fine PASS << 'END'
[==========] Running 3 test(s).
[ RUN      ] a
[       OK ] a
[ RUN      ] b
noise before the mark[       OK ] b
[ RUN      ] c
needs a GPU
[  SKIPPED ] c
[==========] 3 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] c
END
counts 0 "2 passed, 0 failed, 1 skipped"
claim $? "a cmocka program counts by its tests"
[ "$(printf '%s\n' "$said" | head -n 1)" = "skipped: t_fine: c (needs a GPU)" ]
claim $? "a skip is named, with its reason"

ended points FAIL << 'END'
ok 1 - a
not ok 2 - b
ok 3 - c # SKIP no mandoc
1..3
END
counts 1 "3 passed, 1 failed, 2 skipped"
claim $? "a script counts by its points"

ended t_crash FAIL << 'END'
[ RUN      ] a
[       OK ] a
[ RUN      ] b
END
counts 1 "4 passed, 2 failed, 2 skipped"
claim $? "a test that never ended has failed"

ended t_leak FAIL << 'END'
[ RUN      ] a
[       OK ] a
==1==ERROR: LeakSanitizer: detected memory leaks
END
counts 1 "5 passed, 3 failed, 2 skipped"
claim $? "an error after the last claim is a failure"

ended silent PASS < /dev/null
ended gpu SKIP < /dev/null
counts 1 "6 passed, 3 failed, 3 skipped"
claim $? "a program that claims nothing counts as one"
finish

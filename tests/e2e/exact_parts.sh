#!/bin/sh
# The parts of exact.sh that score whole sets: the tasks' own references, one thing wrong in each, careful parts by others.
: "${srcdir:=.}"
exec sh "$srcdir/tests/e2e/exact.sh" own defects careful

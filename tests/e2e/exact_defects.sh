#!/bin/sh
# The part of exact.sh that puts one thing wrong in a reference: tests/defects/*.json.
: "${srcdir:=.}"
exec sh "$srcdir/tests/e2e/exact.sh" defects

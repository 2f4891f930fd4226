#!/bin/sh
# The model of `cadforge serve --model`: completions and chat completions, whole and streamed; a client that leaves ends its
# answer; `run --model http://...` of another cadforge is a client like any. Run by make check in the build folder. Speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
need_python
base=$here/gpu/demo/base
[ -f "$base/model.safetensors" ] || skip_all "no model in gpu/demo/base"
[ -x ./cadforge-infer ] || skip_all "no cadforge-infer"
enter
serve_start --model "$base" --metrics
claim $? "cadforge serve --model listens"
points "$CADFORGE_PYTHON_ENV/bin/python3" "$here/tests/e2e/serve_model.py" "$url" $((n + 1))
CADFORGE_DB=$work/other.db "$cadforge" run four_leg_chair_700n --model "$url/v1#base" --turns 1 --max-tokens 40 \
	--temperature 0 --quiet > out 2> err
status=$?
# so few tokens are no whole program
[ $status -eq 1 ] && grep -q 'the answer was cut off' out && grep -q 'stored as 1.1' out
claim $? "another cadforge writes an episode with it, --model $url/v1#base (status $status)"
serve_end
claim $? "the server ends when it is told to"
finish

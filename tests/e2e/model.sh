#!/bin/sh
# Looking inside models from the command line, over the oracle's folders and broken copies of them.
# Run by make check in the build folder; speaks TAP.
set -u
: "${srcdir:=.}"
n=0 bad=0
claim() { # claim STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}
oracle=${CADFORGE_SHARED:-$(cd "$srcdir" && pwd)/../shared}/oracle
if [ ! -d "$oracle" ]; then
	echo "1..0 # SKIP $oracle is not there: CADFORGE_SHARED names the folder with oracle/"
	exit 0
fi
oracle=$(cd "$oracle" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cadforge=$PWD/cadforge
cd "$work" || exit 1

# expect STATUS TEXT COMMAND...: its exit status and, in what it says on stderr, TEXT
expect() {
	want=$1 text=$2
	shift 2
	"$@" > out 2> err
	[ $? -eq "$want" ] && grep -qF -e "$text" err
}
info() {
	"$cadforge" model info "$@" > out 2> err
}

info "$oracle/tiny-f32" && grep -q '358,496 parameters, untied' out && grep -q '4: 3 gated DeltaNet, 1 gated' out
claim $? "a flat model's sizes are listed"
grep -q 'lora-a: rank 4, scale 2, .* in 31 modules' out && grep -q 'lora-b: rank 6, scale 4.899' out
claim $? "adapters beside a model that fit it are listed with rank and scale"
grep -q 'lora-vl: does not fit: .*shape \[r, 160\] wanted by the base, got \[8, 256\]' out
claim $? "one that does not fit is listed with both shapes"
info --json "$oracle/tiny-bf16-sharded" && [ "$(wc -l < out)" -eq 1 ] && grep -q '"skipped_tensors":8' out &&
	grep -q '"kv_bytes_per_token":256' out && grep -q '"tied":true' out
claim $? "a nested, sharded, tied model is one object of JSON"
if command -v python3 > /dev/null; then
	python3 -c 'import json,sys
o = json.load(open("out"))
assert [a["fits"] for a in o["adapters"]] == [False, False, True], o["adapters"]
assert o["load_bytes"]["f32"] == 4 * o["parameters"]
assert o["state_bytes"] == 6 * (4 * 4 * 32 * 32 + 2 * 3 * 384)'
	claim $? "its figures follow from its sizes"
fi
info "$oracle/lora-b/" && grep -q '^/.*tiny-f32$' out && grep -q 'lora-b/*: rank 6' out
claim $? "an adapter's folder is told of with the base that it names"
info "$oracle/tiny-f32" --adapter "$oracle/lora-a" --adapter "$oracle/lora-vl"
[ $? -eq 1 ] && grep -q 'does not fit' out
claim $? "an adapter that is named and does not fit is a no"
(cd "$oracle/tiny-f32" && "$cadforge" model info .) > out 2> err && grep -q ' \.\./lora-a: rank' out
claim $? "a folder named by a dot has its neighbours"

expect 2 "'info'" "$cadforge" model
claim $? "without a word the words are listed"
expect 2 "one folder is expected" "$cadforge" model info
claim $? "without a folder one is asked for"
expect 2 "config.json: cannot be opened" "$cadforge" model info .
claim $? "a folder without a model is told"
mkdir shard alone
cp -r "$oracle/tiny-bf16-sharded/." shard
rm shard/model.safetensors-00002-of-00002.safetensors
expect 2 "model.safetensors-00002-of-00002.safetensors: No such file" "$cadforge" model info shard
claim $? "a shard that is missing is named"
head -c 100000 "$oracle/tiny-bf16-sharded/model.safetensors-00002-of-00002.safetensors" \
	> shard/model.safetensors-00002-of-00002.safetensors
expect 2 "the file was cut short; fetch it again" "$cadforge" model info shard
claim $? "a shard that is cut short is named"
cp "$oracle/lora-a/adapter_config.json" "$oracle/lora-a/adapter_model.safetensors" alone
expect 2 "is an adapter of 'tiny-f32', which is not found" "$cadforge" model info alone
claim $? "an adapter whose base is not found is told"
cp -r "$oracle/tiny-f32" bent
sed -i 's/"num_hidden_layers": 4/"num_hidden_layers": 3/' bent/config.json
expect 2 "layer_types: a list of num_hidden_layers = 3 words wanted, got 4" "$cadforge" model info bent
claim $? "a config that contradicts itself is told"
echo "1..$n"
exit $bad

#!/bin/sh
# Looking inside models from the command line, over the oracle's folders and broken copies of them.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
[ -n "$oracle" ] || skip_all "../shared/oracle is not there: CADFORGE_SHARED names the folder with oracle/"
enter

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

# merging, and what differs
models() {
	"$cadforge" model "$@" > out 2> err
}
ids=5,17,300,9,77,1,402,63,8,8,250,31
models merge "$oracle/tiny-f32" "$oracle/lora-b" merged && grep -q '^merged: 358496 parameters, 1.4 MB in 1 file$' out &&
	[ -f merged/tokenizer.json ] && [ ! -e merged/adapter_config.json ]
claim $? "an adapter is merged into its base as a model of its own"
models logits merged --ids $ids --out merged.safetensors &&
	models logits "$oracle/tiny-f32" --adapter "$oracle/lora-b" --ids $ids --out beside.safetensors &&
	models logits "$oracle/tiny-f32" --ids $ids --out base.safetensors
claim $? "it runs"
if command -v python3 > /dev/null; then
	python3 - << 'END'
import json, struct
def logits(name):
    data = open(name, "rb").read()
    n, = struct.unpack("<Q", data[:8])
    a, b = json.loads(data[8:8 + n])["logits"]["data_offsets"]
    return struct.unpack("<%df" % ((b - a) // 4), data[8 + n + a:8 + n + b])
merged, beside, base = map(logits, ("merged.safetensors", "beside.safetensors", "base.safetensors"))
far = max(abs(x - y) for x, y in zip(beside, base))
near = max(abs(x - y) for x, y in zip(merged, beside))
assert len(merged) == 12 * 1024 and far > 1 and near < 2e-3, (far, near)
END
	claim $? "its logits are those of the base with the adapter beside it"
fi
expect 2 "is there already and not empty" "$cadforge" model merge "$oracle/tiny-f32" "$oracle/lora-b" merged
claim $? "a folder that is taken is refused"
expect 2 "shape" "$cadforge" model merge "$oracle/tiny-f32" "$oracle/lora-vl" other && [ ! -e other ]
claim $? "an adapter that does not fit is refused"
expect 2 "three folders are expected" "$cadforge" model merge merged
claim $? "merging asks for what it needs"
expect 2 "f32 or bf16 is expected, got 'int8'" "$cadforge" model merge a b c --dtype int8
claim $? "a dtype that cannot be stored is refused"
models merge "$oracle/tiny-bf16-sharded" "$oracle/lora-vl" wide --dtype f32 --json && grep -q '"files":1,' out &&
	grep -q '"dtype":"float32"' wide/config.json && models info wide --json && grep -q '"skipped_tensors":8' out &&
	! grep -q '"BF16"' out
claim $? "a narrow model is merged wide, vision and all"
(ulimit -f 500 && trap '' XFSZ && expect 1 "writing: File too large" "$cadforge" model merge "$oracle/tiny-f32" "$oracle/lora-a" full)
[ $? -eq 0 ] && [ -z "$(ls -d full* 2> /dev/null)" ]
claim $? "a disk that is full leaves nothing behind"

models diff "$oracle/tiny-f32" "$oracle/tiny-f32"
[ $? -eq 0 ] && grep -q '^[0-9]* tensors: \([0-9]*\) equal, 0 changed, 0 only in the first, 0 only' out
claim $? "a model is equal to itself"
models diff "$oracle/tiny-f32" merged
[ $? -eq 1 ] && grep -q ' 24 changed, 0 only' out && grep -q '% of .* model.layers.1.mlp.up_proj.weight, 10240 of 10240 values' out &&
	! grep -q 'k_proj' out && grep -q 'and 4 more: --all shows them' out
claim $? "what a merge has changed is listed"
models diff "$oracle/lora-a" "$oracle/lora-b"
[ $? -eq 1 ] && grep -q '^  use_rslora: ' out && grep -q ' layers.0.linear_attn.in_proj_z, ranks 4 and 6, cosine' out &&
	grep -q ' layers.3.self_attn.k_proj: only in the first' out
claim $? "two adapters are compared by what they add to each layer"
models diff "$oracle/lora-a" "$oracle/lora-a" --quiet
[ $? -eq 0 ] && [ ! -s out ]
claim $? "an adapter is equal to itself"
expect 2 "two models or two adapters are expected" "$cadforge" model diff "$oracle/lora-a" "$oracle/tiny-f32"
claim $? "a model is not compared with an adapter"
finish

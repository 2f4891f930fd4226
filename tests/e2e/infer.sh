#!/bin/sh
# A real engine behind the verbs: generate, model logits, run --model; killed, interrupted. With the
# tiny models of ../shared/oracle. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter

engine_of() { # the process number of the engine that cadforge $1 started
	cat /proc/[0-9]*/stat 2> /dev/null | sed -n "s/^\([0-9]*\) (cadforge-infer[^)]*) [A-Z] $1 .*/\1/p" | head -n 1
}

# ---- without any model ----
expect 3 "no model was named" "$cadforge" generate --prompt x
claim $? "without a model it is said what to give"
expect 2 "one of --prompt" "$cadforge" generate --model x
claim $? "without a prompt that is told"
expect 2 "no such folder" "$cadforge" generate --model "$work/nothing" --prompt x
claim $? "a model that is not there is told"
expect 2 "ids as in 1,2,3" "$cadforge" generate --model . --ids 1,x
claim $? "ids that are none are told"
expect 2 "config.json" "$cadforge" generate --model . --ids 1
claim $? "a folder that is no model is told by its file"
"$cadforge" generate --model random:10m --ids 1,2,3 --temperature 0 --max-tokens 5 --ignore-eos --json > out 2> err
[ $? -eq 0 ] && cp out once && "$cadforge" generate --model random:10m --ids 1,2,3 --temperature 0 --max-tokens 5 --ignore-eos --json > out 2> err &&
	cmp -s once out
claim $? "a random model answers ids, twice the same"

# ---- a server ----
/usr/bin/python3 -u "$here/tests/fake_server.py" < /dev/zero > ports 2> /dev/null &
server=$!
wait_until test -s ports
port=$(sed -n '1s/\[\([0-9]*\),.*/\1/p' ports)
CADFORGE_API_KEY=sk-very-secret "$cadforge" generate --model "http://127.0.0.1:$port/v1#well" --prompt x > out 2> err
[ $? -eq 0 ] && [ "$(cat out)" = "Grüß dich!" ]
claim $? "a server's answer comes out as text"
CADFORGE_API_KEY=sk-very-secret "$cadforge" generate --model "http://127.0.0.1:$port/v1#key" --prompt x --json > out 2> err
[ $? -eq 3 ] && grep -q "status 401" err && ! grep -q very-secret out err && grep -q '"finish":"error"' out
claim $? "a key that is refused is told, and not shown"
CADFORGE_API_KEY=sk-very-secret "$cadforge" run drawer_handle_two_bolt --model "http://127.0.0.1:$port/v1#plain" \
	--turns 1 --profile exact-train --reference none --quiet > out 2> err
[ $? -eq 1 ] && "$cadforge" show 1.1 --json > out 2> err && grep -q '"plain"' out && ! grep -q very-secret "$CADFORGE_DB"
claim $? "a server writes an episode; its key is not stored"
kill $server

# ---- the oracle ----
if [ -z "$oracle" ]; then
	skip "the oracle's models through the verbs" "../shared/oracle is not here"
	finish
fi
cat > check.py <<'END'
import array, json, struct, subprocess, sys
cadforge, oracle, what = sys.argv[1:]

def tensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        values = array.array({"F32": "f", "I32": "i"}[t["dtype"]])
        a, b = t["data_offsets"]
        values.frombytes(data[8 + n + a:8 + n + b])
        out[name] = t["shape"], values
    return out

cases = {
    "base": ("tiny-f32", None, 2e-3), "lora_a": ("tiny-f32", "lora-a", 2e-3), "lora_b": ("tiny-f32", "lora-b", 2e-3),
    "bf16_f32compute": ("tiny-bf16-sharded", None, 5e-3), "bf16_lora_vl_f32compute": ("tiny-bf16-sharded", "lora-vl", 5e-3),
}
for case, (model, adapter, tolerance) in cases.items():
    flags = ["--adapter", oracle + "/" + adapter] if adapter else []
    model = oracle + "/" + model
    if what == "greedy":
        want = json.load(open(oracle + "/expected/greedy.json"))[case]
        ids = ",".join(map(str, want["prompt_ids"]))
        p = subprocess.run([cadforge, "generate", "--model", model, "--ids", ids, "--temperature", "0", "--max-tokens", "64",
                            "--ignore-eos", "--backend", "cpu", "--json", "--logprobs", "2"] + flags, capture_output=True, check=True)
        got = json.loads(p.stdout)
        assert got["ids"] == want["greedy_ids"], (case, got["ids"])
        assert got["text"] == want["text"], case
        assert got["finish"] == "length" and len(got["logprobs"]) == 64 and len(got["top"]) == 64, case
        assert all(t[0]["id"] == i and abs(t[0]["logprob"] - l) < 1e-6 for t, i, l in zip(got["top"], got["ids"], got["logprobs"]))
    else:
        expected = tensors(oracle + "/expected/logits_" + case + ".safetensors")
        prompts = json.load(open(oracle + "/expected/prompts.json"))
        prompts = prompts.get("prompts", prompts)
        for length in 5, 65:
            ids = prompts.get(str(length)) or prompts["L%d" % length]
            json.dump(ids, open("ids.json", "w"))
            subprocess.run([cadforge, "model", "logits", model, "--ids-file", "ids.json", "--out", "l.safetensors", "--backend", "cpu",
                            "--quiet"] + flags, check=True)
            shape, rows = tensors("l.safetensors")["logits"]
            assert shape == [length, 1024], shape
            at, want = expected["L%d.pos" % length][1], expected["L%d.logits" % length][1]
            worst = max(abs(rows[p * 1024 + v] - want[i * 1024 + v]) for i, p in enumerate(at) for v in range(1024))
            assert worst < tolerance, (case, length, worst)
END
/usr/bin/python3 check.py "$cadforge" "$oracle" greedy > out 2> err
claim $? "greedy continuations are the oracle's, of both models and their adapters"
/usr/bin/python3 check.py "$cadforge" "$oracle" logits > out 2> err
claim $? "logits are the oracle's"
tiny=$oracle/tiny-f32
expect 2 "q_proj" "$cadforge" generate --model "$tiny" --adapter "$oracle/lora-vl" --prompt x ||
	expect 2 "lora-vl" "$cadforge" generate --model "$tiny" --adapter "$oracle/lora-vl" --prompt x
claim $? "an adapter of another model is refused by name"
expect 2 "0 to 1023" "$cadforge" generate --model "$tiny" --ids 1,99999
claim $? "an id that the model does not have is told"

# an adapter of weight 0 is the base; of 1 what it is; the same seed is the same text
say() {
	"$cadforge" generate --model "$tiny" --prompt "A chair" --max-tokens 24 --seed 7 "$@" --json 2> err
}
say > a && say --adapter "$oracle/lora-a:0" > b && say --adapter "$oracle/lora-a" > c && say > d &&
	cmp -s a b && cmp -s a d && ! cmp -s a c
claim $? "an adapter's scale counts, and a seed is a text"

# noise builds nothing: that is data
"$cadforge" run four_leg_chair_700n --model "$tiny" --adapter "$oracle/lora-a:0.5" --turns 2 --max-tokens 64 \
	--profile exact-train --reference none --json > out 2> err
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 2 ] && "$cadforge" show 2.2 --json > out 2> err &&
	/usr/bin/python3 - <<'END'
import json
t = json.load(open("out"))
t = t.get("turn", t) if isinstance(t.get("turn"), dict) else t
assert t["model"] == "tiny-f32" and t["adapter"] == "lora-a:0.5", (t["model"], t["adapter"])
assert len(t["model_hash"]) == 64 and len(t["adapter_hash"]) == 64
assert t["sampling"]["temperature"] == 0.6 and t["prompt_tokens"] > 100 and t["completion_tokens"] <= 64
END
claim $? "a model's noise is an episode, with model, adapter, sampling and counts stored"
"$cadforge" show 2.2 --artifact tokens.json -o tokens.json > out 2> err &&
	"$cadforge" show 2.2 --artifact completion.txt -o completion.txt > out 2> err &&
	/usr/bin/python3 -c '
import json
t = json.load(open("tokens.json"))
assert 0 < len(t["ids"]) == len(t["logprobs"]) == len(t["entropy"]) == len(t["top"]) <= 64, {k: len(v) for k, v in t.items()}
assert all(v <= 0 for v in t["logprobs"])
said = open("completion.txt", "rb").read()
assert len(t["at"]) == len(t["ids"]) and t["at"] == sorted(t["at"]) and t["at"][0] == 0 and t["at"][-1] <= len(said), t["at"]'
claim $? "its tokens, their log-probabilities and places in the answer are stored"
"$cadforge" export 2 one --quiet > out 2> err && "$cadforge" import one --db other.db > out 2> err &&
	"$cadforge" export 1 two --db other.db --quiet && diff -r one two > out 2>&1
claim $? "it goes out and comes in byte for byte"
"$cadforge" run four_leg_chair_700n --model "$tiny" --group 3 --turns 1 --max-tokens 32 \
	--profile exact-train --reference none --json --quiet > out 2> err
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 3 ] && [ "$("$cadforge" show 3.1 --artifact tokens.json -o - | cksum)" != "$("$cadforge" show 3.2 --artifact tokens.json -o - | cksum)" ]
claim $? "a group's answers differ"

# killed in mid-stream: words, and what was committed stays. The tiny model made to take contexts in
# which it has something to do for long.
mkdir long
ln -s "$tiny"/* long/
rm long/config.json
sed 's/\("max_position_embeddings": *\)[0-9]*/\1262144/' "$tiny/config.json" > long/config.json
long=$work/long
rm -f out err
"$cadforge" generate --model "$long" --prompt x --max-tokens 100000 --ignore-eos --context 200000 > out 2> err &
pid=$!
wait_until test -s out
kill -KILL "$(engine_of $pid)"
wait $pid
[ $? -eq 3 ] && grep -q "the inference engine died (signal 9 (Killed); out of memory?)" err
claim $? "kill -9 of the engine in mid-stream is told in words"
rm -f out err
"$cadforge" generate --model "$long" --prompt x --max-tokens 100000 --ignore-eos --context 200000 --json > out 2> err &
pid=$!
has_engine() { [ -n "$(engine_of $pid)" ]; }
wait_until has_engine
sleep 1
engine=$(engine_of $pid)
kill -INT $pid
wait $pid
[ $? -eq 130 ] && grep -q '"finish":"cancelled"' out && [ -n "$engine" ] && ! kill -0 "$engine" 2> /dev/null
claim $? "an interruption ends with 130, tells what came, and leaves no engine behind"
rm -f out err
"$cadforge" run four_leg_chair_700n --model "$long" --turns 3 --max-tokens 100000 --context 200000 \
	--profile exact-train --reference none > out 2> err &
pid=$!
wait_until grep -q "^episode" out
sleep 1
kill -INT $pid
wait $pid
[ $? -eq 130 ] && "$cadforge" fsck > out 2> err
claim $? "an interrupted run ends at once, and the database is whole"
# ---- a branch from a token ----
if [ -f "$here/gpu/demo/base/config.json" ] && [ -n "$CADFORGE_PYTHON_ENV" ]; then
	CADFORGE_DEMO=$here/gpu/demo CADFORGE_DB=$work/branch.db
	"$cadforge" run drawer_handle_two_bolt --turns 1 --profile exact-train --reference none > out 2> err &&
		"$cadforge" export 1 "$work/before" > /dev/null 2> err &&
		first=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["ids"][0])' "$work/before/turn-1/tokens.json")
	"$cadforge" fork 1.1 --token 30 --pick "$first" --profile exact-train --reference none > out 2> err
	[ $? -le 1 ] && "$cadforge" export 1 "$work/after" > /dev/null 2> err &&
		python3 - "$work/after" << 'PY'
import json, sys

one, two = (json.load(open(sys.argv[1] + "/turn-%d/tokens.json" % n))["ids"] for n in (1, 2))
sys.exit(two[:31] != one[:30] + one[:1] or len(two) < 40)
PY
	claim $? "fork --token --pick keeps what stood before that token, puts the other there and goes on"
	"$cadforge" fork 1.1 --token 99999 > out 2> err
	[ $? -eq 2 ] && grep -q "no token 99999" err
	claim $? "a token that is not there is told"
	"$cadforge" fork 1.1 --pick 5 > out 2> err
	[ $? -eq 2 ] && grep -q -- "--token N" err
	claim $? "so is a pick without a place"
fi
finish

#!/bin/sh
# Training behind its verbs: a model from nothing, an adapter on it, killed and gone on with, answers
# on the way, the page about it. With a model that it makes itself; gradients against ../shared/oracle
# where that is. Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
enter

state() { # state RUN WORD: what runs says of it
	"$cadforge" runs "$1" 2> /dev/null | grep -q " $2"
}
has() { # has EXPRESSION: of the lines of out as JSON objects, rows
	/usr/bin/python3 -c '
import json, sys
rows = [json.loads(l) for l in open("out")]
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2> err
}

# ---- a shape, a tokenizer of the 256 bytes, and rows ----
/usr/bin/python3 - <<'END'
import json, os
os.mkdir("tokens")
keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
letter = {b: chr(b) for b in keep}
letter.update({b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in letter)})
added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
json.dump({
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [{"id": 256 + i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": i < 3} for i, t in enumerate(added)],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
         "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
              "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": {letter[b]: b for b in range(256)}, "merges": []},
}, open("tokens/tokenizer.json", "w"))
json.dump({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
           "model_max_length": 2048}, open("tokens/tokenizer_config.json", "w"))
json.dump({
    "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "hidden_act": "silu", "rms_norm_eps": 1e-06,
    "vocab_size": 264, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "layer_types": ["linear_attention", "full_attention"], "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "attn_output_gate": True, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4, "tie_word_embeddings": True,
    "max_position_embeddings": 2048, "eos_token_id": 258, "dtype": "float32",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
}, open("shape.json", "w"))
with open("rows.jsonl", "w") as f:
    for t in range(10):
        for i in range(3):
            size = 10 + 7 * t + 3 * i
            f.write(json.dumps({"task": f"plate_{t}", "prompt": f"Plate {t}, {size} x {size + i} mm.", "completion":
                f"import cadquery as cq\nsize = {size}\nfixture = cq.Workplane().box(size, {size + i}, 4)\n",
                "kind": "repair" if i == 2 else "program"}) + "\n")
    f.write("no JSON at all\n")
    f.write('{"prompt": "x", "completion": ""}\n')
    f.write('{"prompt": "x", "completion": "box(1, 2, 3)"}\n')
END

# ---- what is missing is said ----
expect 2 "sft, grpo, resume, grad, sample" "$cadforge" train && expect 2 "got 'dance'" "$cadforge" train dance
claim $? "a word that train does not know is told"
expect 2 "no model was named" "$cadforge" train sft --data rows.jsonl &&
	expect 2 "nothing to learn from" "$cadforge" train sft --model tokens &&
	expect 2 "nothing.jsonl" "$cadforge" train sft --model tokens --data nothing.jsonl &&
	expect 2 "is a server" "$cadforge" train sft --model http://localhost/v1#x --data rows.jsonl
claim $? "without a model on this machine or rows it is said what to give"
expect 2 "there is no run 7" "$cadforge" train resume 7
claim $? "a run that is not there is told"
"$cadforge" train sft --model tokens --data rows.jsonl --program-weight 4 --held-out 0.2 --dry-run --json > out 2> err &&
	has 'rows[0]["rows"]["train"] == 24 and rows[0]["rows"]["eval"] == 6 and rows[0]["rows"]["weighted"] == 72' &&
	has 'sorted((d["reason"], d["first"].split(": ")[0]) for d in rows[0]["rows"]["dropped"]) == [
	("empty completion", "rows.jsonl:32"), ("no final object", "rows.jsonl:33"), ("not JSON", "rows.jsonl:31")]'
claim $? "a dry run tells the mix, what is held out, and each reason for which rows are left out"

# ---- a model from nothing ----
"$cadforge" train sft --model fresh:shape.json --tokenizer tokens --method full --backend cpu --data rows.jsonl --out base --steps 6 \
	--lr 3e-3 --optimizer muon --save-every 3 --eval-every 3 --threads 1 --json > out 2> err &&
	has '[r["step"] for r in rows if r["event"] == "step"] == [1, 2, 3, 4, 5, 6]' &&
	has '[r["step"] for r in rows if r["event"] == "checkpoint"] == [3, 6]' &&
	has 'all(r["run"] == 1 for r in rows) and rows[0]["event"] == "ready"'
claim $? "a model is trained from nothing, an object an event"
base=$(ls -d base/checkpoint-*6)
"$cadforge" generate --model "$base" --prompt "Plate" --max-tokens 3 --temperature 0 > out 2> err
claim $? "its checkpoint answers"
expect 2 "already and not empty" "$cadforge" train sft --model "$base" --data rows.jsonl --out base
claim $? "a run's folder is not taken by another"
expect 2 "lora" "$cadforge" train sft --model "$base" --data rows.jsonl --out odd --method dance &&
	expect 2 "rank" "$cadforge" train sft --model "$base" --data rows.jsonl --out odd2 --rank 0.5
claim $? "a setting that cannot be is told by its name"

# ---- an adapter, unbroken and killed ----
lora() { # lora OUT: the same run; in the background its process is that of cadforge
	exec "$cadforge" train sft --model "$base" --data rows.jsonl --out "$1" --steps 150 --rank 4 --lr 5e-3 --save-every 25 \
		--eval-every 50 --keep 9 --threads 1
}
(lora whole) > out 2> err && state 2 done && grep -q "step 150/150" err && grep -q "left out: 1, not JSON" err && grep -q "report 2" out
claim $? "an adapter is trained, with lines of progress and what to do next"
lora broken > out 2> err &
pid=$!
until [ -d broken/checkpoint-000025 ] || ! kill -0 $pid 2> /dev/null; do :; done # at once: steps are short
kill -9 $pid 2> /dev/null
wait $pid 2> /dev/null
wait_until state 3 interrupted
claim $? "after kill -9 the run is known as interrupted"
"$cadforge" fsck > out 2> err
claim $? "the database is whole"
expect 2 "goes on with what it was begun with" "$cadforge" train resume 3 --lr 1
claim $? "what shapes the result does not change on the way"
"$cadforge" train resume 3 --quiet > out 2> err && state 3 done
claim $? "it goes on to its end"
losses() {
	"$cadforge" runs "$1" --json | /usr/bin/python3 -c '
import json, sys
last = {}
for r in map(json.loads, sys.stdin):
    if r.get("event") in ("step", "eval"):
        last[r["event"], r["step"]] = (r["loss"], r["grad_norm"])
for k in sorted(last):
    if k[1] > 30:  # the store may lack what was told last before the kill
        print(k, last[k])'
}
losses 2 > once && losses 3 > out && [ "$(wc -l < once)" -eq 123 ] && cmp -s once out && cmp -s whole/checkpoint-000150/adapter_model.safetensors \
	broken/checkpoint-000150/adapter_model.safetensors
claim $? "its losses and its adapter are those of the unbroken run to the bit"
expect 2 "is done" "$cadforge" train resume 3
claim $? "what is done is not gone on with"

# ---- interrupted by hand ----
lora stopped > out 2> err &
pid=$!
until [ -d stopped/checkpoint-000025 ] || ! kill -0 $pid 2> /dev/null; do :; done
kill -INT $pid
wait $pid
[ $? -eq 130 ] && state 4 stopped && grep -q "train resume 4" out
claim $? "an interruption ends with a checkpoint and says how to go on"

# ---- what cannot go well ----
mkdir odd_adapter && printf '{"peft_type": "LORA", "r": 4}' > odd_adapter/adapter_config.json
expect 2 "lora_alpha" "$cadforge" train sft --model "$base" --data rows.jsonl --out odd3 --adapter odd_adapter
claim $? "an adapter that is none is told by what it lacks"
expect 2 "none_such" "$cadforge" train sft --model "$base" --data rows.jsonl --out odd4 --adapter none_such
claim $? "an adapter that is not there is told"

# ---- answers on the way, and the page ----
if [ -x "$CADFORGE_PYTHON_ENV/bin/python" ] || [ -x "$CADFORGE_PYTHON_ENV/bin/python3" ]; then
	"$cadforge" train sample 2 --samples 1 --seconds 60 --json > out 2> err &&
		has 'len(rows) == 1 and rows[0]["step"] == 150 and rows[0]["task"].startswith("plate_") and rows[0]["built"] is False' &&
		"$cadforge" episodes --json > out 2> err && has 'len(rows) == 1'
	claim $? "a held-out prompt is answered by the checkpoint, built and stored with the run"
else
	skip "a held-out prompt is answered by the checkpoint" "no Python environment (configure --with-python-env)"
fi
"$cadforge" report 2 3 --out page > out 2> err && grep -q "^| 3 | sft |.* done " page/README.md &&
	/usr/bin/python3 - > out 2> err <<'END'
import glob, re, xml.dom.minidom
files = sorted(glob.glob("page/*.svg"))
assert len(files) >= 4, files
for f in files:
    xml.dom.minidom.parse(f)
named = set(re.findall(r"\]\(([^)]*)\)", open("page/README.md").read()))
assert {f[5:] for f in files} <= named, named
END
claim $? "the page has its curves beside it, and they are pictures"
"$cadforge" report 2 --out page > out 2> err && expect 2 "no report of ours" "$cadforge" report 2 --out tokens
claim $? "an earlier page is replaced, and nothing else is"
"$cadforge" fsck > out 2> err
claim $? "the database is whole at the end"

# ---- gradients ----
if [ -n "$oracle" ]; then
	"$cadforge" train grad "$oracle/tiny-f32" --adapter "$oracle/lora-a" --batch "$oracle/expected/grpo.json" --loss grpo \
		--case dapo_beta0 --out grad.safetensors > out 2> err &&
		/usr/bin/python3 - "$oracle" > compared 2> err <<'END'
import json, math, struct, sys
def load(path):
    b = open(path, "rb").read()
    n, = struct.unpack("<Q", b[:8])
    h = json.loads(b[8:8 + n])
    h.pop("__metadata__", None)
    return {k: struct.unpack("<%df" % ((v["data_offsets"][1] - v["data_offsets"][0]) // 4),
                             b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in h.items()}
said, want = json.load(open("out")), json.load(open(sys.argv[1] + "/expected/grpo.json"))["cases"]["dapo_beta0"]
assert abs(said["loss"] - want["loss"]) < 1e-4 and abs(said["grad_norm"] / want["grad_norm"] - 1) < 1e-4, said
got, ref = load("grad.safetensors"), load(sys.argv[1] + "/expected/grpo_grads_dapo_beta0.safetensors")
assert {"grad." + k for k in got} == set(ref)
for k, v in got.items():
    r = ref["grad." + k]
    assert math.dist(v, r) < 2e-3 * math.hypot(*r), k
END
	claim $? "the gradients of a batch are the oracle's, under their PEFT names"
	expect 2 "one of the batch's cases" "$cadforge" train grad "$oracle/tiny-f32" --adapter "$oracle/lora-a" \
		--batch "$oracle/expected/grpo.json" --loss grpo --case none
	claim $? "a case that is not there is told with those that are"
else
	skip "the gradients of a batch are the oracle's" "../shared/oracle is not there"
fi
finish

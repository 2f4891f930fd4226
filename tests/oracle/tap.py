"""What the comparisons with torch, transformers and PEFT share: claims in TAP, our programs, models.

The current folder is the build folder; $srcdir the sources'; sys.argv[1], when given, a folder to work in, which
is emptied, else a temporary one. Torch waits passively and takes the threads that $OMP_NUM_THREADS says.
"""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BUILD = os.getcwd()
SOURCE = os.path.abspath(os.environ.get("srcdir", "."))
count = failed = 0


def claim(text):
    """Decorates a function that asserts: it runs at once, with the work folder."""
    def run(f):
        global count, failed
        count += 1
        try:
            said = f()
            print(f"ok {count} - {text}" + (f" ({said})" if said else ""), flush=True)
        except Exception:
            failed += 1
            print(f"not ok {count} - {text}", flush=True)
            for line in traceback.format_exc().rstrip().split("\n"):
                print("# " + line, flush=True)
        return f
    return run


def finish():
    print(f"1..{count}", flush=True)
    sys.exit(1 if failed else 0)


def work_folder():
    if len(sys.argv) > 1:
        dir = os.path.abspath(sys.argv[1])
        shutil.rmtree(dir, ignore_errors=True)
        os.makedirs(dir)
        return dir
    dir = tempfile.mkdtemp(prefix="cadforge-oracle-")
    atexit.register(shutil.rmtree, dir, ignore_errors=True)
    return dir


def ours(*command, stdin=None, expect=0):
    """Runs a program of the build folder; its standard output."""
    path = os.path.join(BUILD, command[0])
    p = subprocess.run([path, *map(str, command[1:])], input=stdin, capture_output=True, text=True, encoding="utf-8")
    assert p.returncode == expect, f"{' '.join(map(str, command))}: status {p.returncode}: {p.stderr.strip()}"
    return p.stdout


def shape(**over):
    """A small config in which no two sizes are equal by accident."""
    c = dict(architectures=["Qwen3_5ForCausalLM"], model_type="qwen3_5_text", hidden_size=48, num_hidden_layers=4,
             num_attention_heads=4, num_key_value_heads=2, head_dim=16, linear_num_key_heads=2,
             linear_num_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, linear_conv_kernel_dim=4,
             intermediate_size=80, vocab_size=320, max_position_embeddings=2048, rms_norm_eps=1e-6,
             tie_word_embeddings=True, hidden_act="silu", eos_token_id=None,
             rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5,
                                  mrope_section=[2, 1, 1], mrope_interleaved=True))
    c.update(over)
    return c


# What differs between the family's sizes, and what only files of others have.
SHAPES = {
    "tied": shape(),
    "untied, more value heads than key heads": shape(linear_num_value_heads=6, tie_word_embeddings=False),
    "key and value dimensions apart": shape(linear_key_head_dim=8, linear_value_head_dim=12, linear_num_value_heads=4),
    "one key-value head, three of four values turn, attention first":
        shape(num_key_value_heads=1, layer_types=["full_attention", "linear_attention"] * 2, rope_parameters=dict(
            rope_type="default", rope_theta=1e6, partial_rotary_factor=0.75, mrope_section=[2, 2, 2],
            mrope_interleaved=True)),
}


def make_vocabulary(dir, size, text):
    path = dir + ".txt"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    assert int(ours("oracle_maker", "vocabulary", path, dir, size)) == size
    return dir


def make_model(dir, config, seed=1, dtype="f32", tokenizer=None):
    """By model_fresh() and model_write(), its norms and the like stirred; with a vocabulary of 300 when none is
    given."""
    path = dir + ".config.json"
    with open(path, "w") as f:
        json.dump(config, f)
    tokenizer = tokenizer or make_vocabulary(dir + ".vocabulary", 300, "result = cq.Workplane('XY').box(10, 20, 5)\n" * 3
                                             + "plate plates chair chairs width height depth radius\n" * 3)
    ours("oracle_maker", "model", path, dir, seed, dtype, tokenizer)
    return dir


def our_logits(model, ids, out, *adapters):
    from safetensors.torch import load_file
    flags = [x for a in adapters for x in ("--adapter", a)]
    ours("cadforge", "model", "logits", model, "--ids", ",".join(map(str, ids)), "--out", out, "--backend", "cpu",
         *flags)
    return load_file(out)["logits"]


def their_model(dir, adapter=None):
    import torch
    from transformers import AutoModelForCausalLM
    m = AutoModelForCausalLM.from_pretrained(dir, dtype=torch.float32)
    if adapter:
        from peft import PeftModel
        m = PeftModel.from_pretrained(m, adapter)
    return m.eval()


def logits_of(m, ids):
    import torch
    with torch.no_grad():
        return m(torch.tensor([ids])).logits[0].float()


def near(got, want, tolerance=1e-3):
    """The largest difference, as a part of the largest value."""
    import torch
    assert got.shape == want.shape, f"{tuple(got.shape)} for {tuple(want.shape)}"
    scale = max(1.0, want.abs().max().item())
    worst = (got.double() - want.double()).abs().max().item()
    assert worst <= tolerance * scale, f"largest difference {worst:.3g} of values up to {scale:.3g}"
    return f"{worst:.1g} of {scale:.2g}"


def some_ids(n, vocabulary, seed=0):
    import random
    r = random.Random(seed)
    return [r.randrange(vocabulary) for _ in range(n)]

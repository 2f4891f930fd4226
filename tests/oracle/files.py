#!/usr/bin/env python3
"""Our files in other people's libraries, and theirs in ours: tokenizers, chat templates, models, adapters, merges.

Run in the build folder by `./quickstart check --oracle`; needs torch, transformers, peft, tokenizers, safetensors.
Speaks TAP.
"""
import json
import os
import random
import unicodedata
import warnings

from tap import (SHAPES, SOURCE, claim, finish, logits_of, make_model, make_vocabulary, near, our_logits, ours, some_ids,
                 their_model, work_folder)

warnings.filterwarnings("ignore")
import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
work = work_folder()
demo = os.path.join(SOURCE, "gpu", "demo", "base")
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_response>", "</tool_response>"]


# ---------------------------------------------------------------- tokenizer
def programs():
    out = []
    for top in ("tasks", "python", "tests"):
        for dir, _, names in sorted(os.walk(os.path.join(SOURCE, top))):
            out += [os.path.join(dir, n) for n in sorted(names) if n.endswith(".py")]
    return [open(p, encoding="utf-8", errors="replace").read() for p in out]


def texts():
    """What tokenizers get wrong: case endings, marks, runs of blanks, digits, emoji, added tokens within words."""
    r = random.Random(11)
    out = ["", " ", "\n", "a", "it's we'LL 'ſ don't 'S", "x = 12.5e-3\n\n\n\t  y", "Ünïcode e\u0301 ﬁ Å 한국어 日本語 ١٢٣ ²",
           "👩‍👩‍👧 🏳️‍🌈", "  <|im_end|>x<think></think><|im_start|", "\u200b\u00a0\u2028\u3000 \x1c\x85.", "\r\n \r\n\t\r"]
    out += [p[:3000] for p in programs()[:40]]
    letters = "ab  \n\t\r'sS12.,()#\u0301é中€😀\u00a0<|>_"
    for _ in range(300):
        out.append("".join(r.choice(letters) for _ in range(r.randrange(1, 60))))
    for _ in range(60):
        out.append("".join(r.choice(ADDED + ["a", " ", "\n", "<|im", "think>"]) for _ in range(8)))
    return out


def compare_ids(dir):
    theirs, whole = Tokenizer.from_file(os.path.join(dir, "tokenizer.json")), AutoTokenizer.from_pretrained(dir)
    cases = texts()
    said = ours("cadforge", "model", "tokenize", dir, stdin="".join(json.dumps({"text": t}) + "\n" for t in cases))
    said = [json.loads(line)["ids"] for line in said.split("\n")[:-1]]
    assert len(said) == len(cases)
    tokens = 0
    for text, ids in zip(cases, said):
        assert ids == theirs.encode(text, add_special_tokens=False).ids, f"tokenizers: {text!r}"
        assert ids == whole.encode(text, add_special_tokens=False), f"transformers: {text!r}"
        tokens += len(ids)
    back = ours("cadforge", "model", "tokenize", dir, stdin="".join(json.dumps({"ids": i}) + "\n" for i in said))
    for text, line in zip(cases, back.split("\n")):
        assert json.loads(line)["text"] == unicodedata.normalize("NFC", text), f"back: {text!r}"
    assert whole.eos_token == "<|im_end|>" and whole.pad_token == "<|endoftext|>"
    return f"{tokens} ids of {len(cases)} texts"


def conversations():
    u = {"role": "user", "content": "  make a plate \n"}
    a = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nhere"}
    out = [[u], [{"role": "system", "content": " S\n"}, u], [u, a, {"role": "user", "content": "again"}], [u, a],
           [u, {"role": "assistant", "content": "plain", "reasoning_content": " why "}],
           [u, {"role": "assistant", "content": "a</think>b</think>\n\nc"}],
           [u, {"role": "assistant", "content": "call"}, {"role": "tool", "content": " one "},
            {"role": "tool", "content": "two"}, {"role": "assistant", "content": "done"}],
           [u, {"role": "assistant", "content": "x"}, {"role": "user", "content": "<tool_response>t</tool_response>"},
            {"role": "assistant", "content": "<think>\n\n</think>\n\nend"}],
           [{"role": "user", "content": [{"type": "text", "text": " first "}, {"type": "text", "text": "second "}]}, a],
           [{"role": "system", "content": ""}, {"role": "user", "content": ""}]]
    return out


def compare_chat(dir):
    theirs = AutoTokenizer.from_pretrained(dir)
    n = 0
    for messages in conversations():
        path = os.path.join(work, "messages.json")
        with open(path, "w") as f:
            json.dump(messages, f)
        for prompt in (False, True):
            for thinking in (None, False, True):
                want = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt,
                                                  **({} if thinking is None else {"enable_thinking": thinking}))
                flags = ["--generation-prompt"] * prompt
                flags += [] if thinking is None else ["--thinking", "on" if thinking else "off"]
                got = ours("cadforge", "model", "chat", dir, "--messages", path, *flags)
                assert got == want, f"{messages} {prompt} {thinking}:\n{got!r}\n{want!r}"
                n += 1
    return f"{n} renderings"


learned = os.path.join(work, "vocabulary")


@claim("a vocabulary that we learned gives the same ids in tokenizers and transformers, and the text back")
def _():
    make_vocabulary(learned, 1200, "\n".join(programs() + texts()))
    return compare_ids(learned)


@claim("its chat template renders what we render")
def _():
    return compare_chat(learned)


if os.path.exists(demo):
    @claim("the demonstration model's tokenizer gives the same ids")
    def _():
        return compare_ids(demo)

    @claim("the demonstration model's chat template renders what we render")
    def _():
        return compare_chat(demo)


# ---------------------------------------------------------------- models
models = {}
for k, (name, config) in enumerate(SHAPES.items()):
    @claim(f"a model that we write opens in transformers with the same logits: {name}")
    def _():
        dir = make_model(os.path.join(work, f"model{k}"), config, seed=k + 1)
        models[name] = dir
        m = their_model(dir)
        assert type(m).__name__ == "Qwen3_5ForCausalLM"
        said = []
        for n in (1, 7, 130):
            ids = some_ids(n, config["vocab_size"], n)
            said.append(near(our_logits(dir, ids, os.path.join(work, "logits")), logits_of(m, ids)))
        return "; ".join(said)


@claim("a model that we write as BF16 opens with the same logits, its tokenizer beside it")
def _():
    config = {**SHAPES["tied"], "vocab_size": 1216}
    dir = make_model(os.path.join(work, "narrow"), config, 5, "bf16", learned)
    ids = some_ids(60, 1200)
    m = their_model(dir)
    assert m.generation_config.eos_token_id == AutoTokenizer.from_pretrained(dir).convert_tokens_to_ids(
        ["<|im_end|>", "<|endoftext|>"])
    return near(our_logits(dir, ids, os.path.join(work, "logits")), logits_of(m, ids))


# ---------------------------------------------------------------- adapters
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj",
       "gate_proj", "up_proj", "down_proj"]


def their_adapter(base, dir, **over):
    """An adapter with values, as PEFT saves it."""
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(3)
    o = dict(r=4, lora_alpha=8, target_modules=ALL, task_type="CAUSAL_LM")
    o.update(over)
    m = get_peft_model(their_model(base), LoraConfig(**o))
    for name, p in m.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    m.save_pretrained(dir)
    return m.eval()


def same_beside_and_merged(base, adapter, m, ids):
    want = logits_of(m, ids)
    far = (want - logits_of(their_model(base), ids)).abs().max().item()
    assert far > 0.1, f"the adapter changes next to nothing: {far}"
    said = [near(our_logits(base, ids, os.path.join(work, "logits"), adapter), want)]
    merged = adapter + "-merged"
    ours("cadforge", "model", "merge", base, adapter, merged)
    said.append(near(logits_of(their_model(merged), ids), want))
    said.append(near(our_logits(merged, ids, os.path.join(work, "logits")), want))
    return "beside {}, merged {} and {}".format(*said)


for k, (name, over) in enumerate({
        "all linear layers": {},
        "rank-stabilised": dict(r=6, lora_alpha=12, use_rslora=True, target_modules=["q_proj", "up_proj", "out_proj"]),
        "ranks and scales of their own": dict(rank_pattern={"down_proj": 2}, alpha_pattern={"layers.1.mlp.up_proj": 3}),
        "a pattern as target": dict(target_modules=r".*layers\.[13]\..*(gate|up|down)_proj"),
}.items()):
    @claim(f"an adapter that PEFT saved gives the same logits here, beside the base and merged: {name}")
    def _():
        base = models["untied, more value heads than key heads"]
        dir = os.path.join(work, f"peft{k}")
        return same_beside_and_merged(base, dir, their_adapter(base, dir, **over), some_ids(70, 320, k))

for k, (name, scale, kind, dtype) in enumerate([
        ("plain", "2", "plain", "f32"), ("rank-stabilised", "1.5", "rslora", "f32"), ("BF16", "0.75", "plain", "bf16")]):
    @claim(f"an adapter that we save gives the same logits in PEFT: {name}")
    def _():
        base = models["key and value dimensions apart"]
        dir = os.path.join(work, f"own{k}")
        ours("oracle_maker", "adapter", base, dir, k + 1, 5, scale, kind, dtype, "text")
        m = their_model(base, dir)
        loaded = sum(".lora_A." in n for n, _ in m.named_parameters())
        assert loaded == json.loads(ours("cadforge", "model", "info", base, "--adapter", dir, "--json"))["adapters"][0][
            "modules"], loaded
        return same_beside_and_merged(base, dir, m, some_ids(66, 320, k))


@claim("a model with a vision part, as transformers saves it, runs here, with our adapter in its own names, and merged")
def _():
    import shutil
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration as Whole
    text = {**SHAPES["key and value dimensions apart"], "initializer_range": 0.2}
    del text["architectures"]
    torch.manual_seed(2)
    base, dir = os.path.join(work, "vision"), os.path.join(work, "vision-adapter")
    Whole(Qwen3_5Config(text_config=text, tie_word_embeddings=True, vision_config=dict(
        depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=48, patch_size=4,
        num_position_embeddings=16))).save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(os.path.join(models["tied"], name), base)
    ours("oracle_maker", "adapter", base, dir, 7, 4, "2", "plain", "f32", "multimodal")

    def open_whole(path):
        return Whole.from_pretrained(path, dtype=torch.float32).eval()

    ids = some_ids(50, 290)
    out = os.path.join(work, "logits")
    plain = logits_of(open_whole(base), ids)
    said = [near(our_logits(base, ids, out), plain)]
    m = PeftModel.from_pretrained(open_whole(base), dir).eval()
    assert sum(".lora_A." in n for n, _ in m.named_parameters()) == 31
    want = logits_of(m, ids)
    assert (want - plain).abs().max() > 0.1
    said.append(near(our_logits(base, ids, out, dir), want))
    ours("cadforge", "model", "merge", base, dir, dir + "-merged")
    said.append(near(logits_of(open_whole(dir + "-merged"), ids), want))
    was, now = (load_file(os.path.join(x, "model.safetensors")) for x in (base, dir + "-merged"))
    seen = [n for n in was if n.startswith("model.visual.")]
    assert seen and set(was) == set(now) and all(torch.equal(was[n], now[n]) for n in seen)
    return "alone {}, adapter {}, merged {}".format(*said)


@claim("weights that we merge are those that PEFT merges")
def _():
    base = models["tied"]
    dir = os.path.join(work, "unload")
    m = their_adapter(base, dir).merge_and_unload()
    ours("cadforge", "model", "merge", base, dir, dir + "-merged")
    mine = dict(their_model(dir + "-merged").named_parameters())
    worst = max((mine[n].double() - p.double()).abs().max().item() for n, p in m.named_parameters())
    assert worst < 1e-6, worst
    return f"{worst:.1g} at most"


finish()

#!/usr/bin/env python3
"""Our training beside torch's: gradients by autograd, runs of AdamW step by step, what a run leaves in PEFT and
transformers.

Run in the build folder by `./quickstart check --oracle`; needs torch, transformers, peft, safetensors. Speaks TAP.
"""
import json
import os
import warnings

from tap import SHAPES, claim, finish, logits_of, make_model, near, our_logits, ours, some_ids, their_model, work_folder

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
work = work_folder()
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj",
       "gate_proj", "up_proj", "down_proj"]
bases = {name: make_model(os.path.join(work, f"base{k}"), config, seed=k + 1)
         for k, (name, config) in enumerate(SHAPES.items())}


def with_adapter(base, dir, **over):
    """A PEFT model whose adapter has values everywhere, saved in @dir."""
    torch.manual_seed(4)
    m = get_peft_model(their_model(base), LoraConfig(**{**dict(r=4, lora_alpha=8, target_modules=ALL,
                                                               task_type="CAUSAL_LM"), **over}))
    for name, p in m.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    m.save_pretrained(dir)
    return m


# ---------------------------------------------------------------- gradients
LENGTHS = (130, 5, 64, 65)


def batch():
    """Right padded rows; the first third of each is a prompt."""
    width = max(LENGTHS)
    ids, mask, labels = [], [], []
    for k, n in enumerate(LENGTHS):
        row = some_ids(n, 290, 100 + k) # the padding token, above, has no gradient in torch
        ids.append(row + [0] * (width - n))
        mask.append([1] * n + [0] * (width - n))
        labels.append([-100] * (n // 3) + row[n // 3:] + [-100] * (width - n))
    path = os.path.join(work, "batch.json")
    with open(path, "w") as f:
        json.dump({"input_ids": ids, "attention_mask": mask, "labels_prompt_masked": labels}, f)
    return path, ids, labels


def loss_of(m, rows, labels):
    """-log p summed over the labels of all rows, each row by itself, by how many there are."""
    total, n = 0.0, 0
    for row, label in zip(rows, labels):
        kept = len(row)
        out = m(torch.tensor([row[:kept]])).logits[0, :-1].float()
        want = torch.tensor(label[1:kept])
        total = total + torch.nn.functional.cross_entropy(out, want, ignore_index=-100, reduction="sum")
        n += int((want >= 0).sum())
    return total / n


def compare_gradients(base, m, adapter=None):
    path, ids, labels = batch()
    out = os.path.join(work, "gradients.safetensors")
    said = json.loads(ours("cadforge-train", "--grad", base, *(["--adapter", adapter] if adapter else []), "--batch", path,
                           "--loss", "sft", "--out", out))
    # each row alone and without padding: nothing may leak from one to the other
    rows = [row[:n] for row, n in zip(ids, LENGTHS)]
    loss = loss_of(m, rows, [label[:n] for label, n in zip(labels, LENGTHS)])
    loss.backward()
    assert abs(said["loss"] - loss.item()) < 1e-4 * loss.item(), (said["loss"], loss.item())
    got = {n.removeprefix("grad."): g for n, g in load_file(out).items()}
    want = {n.replace(".default", ""): p.grad for n, p in m.named_parameters() if p.requires_grad}
    assert set(got) == set(want), f"{sorted(set(got) ^ set(want))}"
    worst, where, square = 0.0, "", 0.0
    for name, g in want.items():
        square += g.double().pow(2).sum().item()
        assert g.norm() > 0, f"{name} has no gradient in torch"
        far = (got[name].reshape(g.shape).double() - g.double()).norm().item() / g.norm().item()
        if far > worst:
            worst, where = far, name
    assert worst < 1e-3, f"{where}: {worst:.3g} of its norm"
    assert abs(said["grad_norm"] - square ** 0.5) < 1e-4 * square ** 0.5, (said["grad_norm"], square ** 0.5)
    return f"loss {loss.item():.4f}, {len(want)} tensors, {worst:.1g} of the norm at most"


for k, (name, base) in enumerate(bases.items()):
    @claim(f"gradients of all parameters are autograd's: {name}")
    def _():
        return compare_gradients(base, their_model(base))

    @claim(f"gradients of an adapter are autograd's: {name}")
    def _():
        dir = os.path.join(work, f"adapter{k}")
        return compare_gradients(base, with_adapter(base, dir), dir)


@claim("gradients of a rank-stabilised adapter on three modules are autograd's")
def _():
    base = bases["untied, more value heads than key heads"]
    dir = os.path.join(work, "few")
    m = with_adapter(base, dir, r=6, use_rslora=True, target_modules=["in_proj_qkv", "v_proj", "down_proj"])
    return compare_gradients(base, m, dir)


# ---------------------------------------------------------------- runs
STEPS, PER_STEP = 5, 2
WORDS = "plate chair hole box leg seat 12 40.5 result = cq.Workplane('XY') radius width depth \n".split(" ")


def rows():
    """(user, assistant) texts of uneven length."""
    import random
    r = random.Random(9)
    return [(" ".join(r.choice(WORDS) for _ in range(r.randrange(3, 30))).strip() or "plate",
             " ".join(r.choice(WORDS) for _ in range(r.randrange(4, 40))).strip() or "box")
            for _ in range(STEPS * PER_STEP)]


def samples(base):
    """What is to be fed and learnt: the template's prompt, then the answer and <|im_end|>."""
    t = AutoTokenizer.from_pretrained(base)
    out = []
    for user, answer in rows():
        text = t.apply_chat_template([{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True,
                                     enable_thinking=False)
        prompt = t.encode(text, add_special_tokens=False)
        ids = prompt + t.encode(answer, add_special_tokens=False) + [t.eos_token_id]
        out.append((ids, [-100] * len(prompt) + ids[len(prompt):]))
    return out


def plain(name):
    """Parameters that decay leaves alone."""
    return any(x in name for x in ("norm", "A_log", "dt_bias", "conv1d"))


def torch_run(m, data, lr, decay):
    trained = [(n, p) for n, p in m.named_parameters() if p.requires_grad]
    groups = [dict(params=[p for n, p in trained if not plain(n)], weight_decay=decay),
              dict(params=[p for n, p in trained if plain(n)], weight_decay=0.0)]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.999), eps=1e-8)
    losses, norms = [], []
    for s in range(STEPS):
        now = data[s * PER_STEP:(s + 1) * PER_STEP]
        loss = loss_of(m, [ids for ids, _ in now], [label for _, label in now])
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in trained], 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


def our_run(name, base, lr, decay, **over):
    data, out = os.path.join(work, name + ".jsonl"), os.path.join(work, name)
    with open(data, "w") as f:
        for user, answer in rows():
            f.write(json.dumps({"messages": [{"role": "user", "content": user},
                                             {"role": "assistant", "content": answer}]}) + "\n")
    settings = dict(model=base, data=data, out=out, lr=lr, decay=decay, clip=1, schedule="constant", warmup=0,
                    order="file", steps=STEPS, batch_samples=PER_STEP, eval_every=0, save_every=0, dtype="f32",
                    optimizer="adamw", backend="cpu", seed=1)
    settings.update(over)
    with open(out + ".json", "w") as f:
        json.dump(settings, f)
    said = [json.loads(line) for line in ours("cadforge-train", "--settings", out + ".json").split("\n") if line]
    steps = [x for x in said if x["event"] == "step"]
    saved = [x["dir"] for x in said if x["event"] == "checkpoint"]
    assert len(steps) == STEPS and saved, said[-3:]
    return [x["loss"] for x in steps], [x["grad_norm"] for x in steps], saved[-1]


def same_run(mine, theirs):
    for what, a, b in (("loss", mine[0], theirs[0]), ("gradient norm", mine[1], theirs[1])):
        for s, (x, y) in enumerate(zip(a, b)):
            assert abs(x - y) < 1e-3 * abs(y), f"{what} of step {s + 1}: {x}, torch has {y}"
    assert theirs[0][-1] != theirs[0][0]


@claim("five steps of AdamW over all parameters are torch's, and the model that is left opens with the same logits")
def _():
    base = bases["key and value dimensions apart"]
    m = their_model(base)
    theirs = torch_run(m, samples(base), 1e-3, 0.1)
    *mine, dir = our_run("full", base, 1e-3, 0.1, method="full")
    same_run(mine, theirs)
    ids = some_ids(50, 300)
    want = logits_of(m.eval(), ids)
    moved = (want - logits_of(their_model(base), ids)).abs().max().item()
    assert moved > 0.1, moved
    return "loss {:.3f} to {:.3f}; {}, {}".format(
        theirs[0][0], theirs[0][-1], near(logits_of(their_model(dir), ids), want),
        near(our_logits(dir, ids, os.path.join(work, "logits")), want))


for name, over in {"all linear layers": {}, "rank-stabilised": dict(r=6, lora_alpha=9, use_rslora=True)}.items():
    @claim(f"five steps of AdamW over an adapter are torch's, and what is left opens in PEFT with the same logits: {name}")
    def _():
        base = bases["untied, more value heads than key heads"]
        start = os.path.join(work, "start-" + name.replace(" ", "-"))
        m = with_adapter(base, start, **over)
        theirs = torch_run(m, samples(base), 2e-3, 0.01)
        *mine, dir = our_run("lora-" + name.replace(" ", "-"), base, 2e-3, 0.01, method="lora", adapter=start)
        same_run(mine, theirs)
        ids = some_ids(50, 300)
        want = logits_of(m.eval(), ids)
        return "loss {:.3f} to {:.3f}; {}, {}".format(
            theirs[0][0], theirs[0][-1], near(logits_of(their_model(base, dir), ids), want),
            near(our_logits(base, ids, os.path.join(work, "logits"), dir), want))


@claim("a new adapter begins as the base, with A within its bounds, and is one that PEFT loads in full")
def _():
    base = bases["tied"]
    losses, _, dir = our_run("new", base, 1e-3, 0, method="lora", rank=4, alpha=8, targets=ALL)
    with torch.no_grad():
        now = samples(base)[:PER_STEP]
        want = loss_of(their_model(base), [ids for ids, _ in now], [label for _, label in now]).item()
    assert abs(losses[0] - want) < 1e-4 * want, (losses[0], want)
    m = their_model(base, dir)
    loaded = {n for n, p in m.named_parameters() if "lora_B" in n and p.abs().max() > 0}
    assert len(loaded) == json.loads(ours("cadforge", "model", "info", base, "--adapter", dir, "--json"))["adapters"][0][
        "modules"]
    return near(our_logits(base, some_ids(40, 300), os.path.join(work, "logits"), dir),
                logits_of(m, some_ids(40, 300)))


finish()

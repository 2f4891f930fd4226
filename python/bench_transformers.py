#!/usr/bin/env python3
"""What `cadforge bench train --peer PYTHON` sets our CPU trainer against, in the same minutes on the same cores: a whole
training step (forward, backward, clipping, AdamW) of the same model's folder and the same batch in transformers, in
float32, with its own modeling code and torch's threads.

PYTHON is an interpreter with torch and transformers (and peft, for --method lora), for example that of
`./quickstart check --oracle`: build/oracle/bin/python. Threads wait passively, as ours do, so that both may run on a
machine that does something else too.

Prints a line of JSON: {"name": "transformers_full", "value": tokens a second (best of the steps), "unit": "1/s",
"seconds": of that step, "loss": of the first}. Nothing is downloaded.

Usage: bench_transformers.py MODEL --batch FILE.json [--threads N] [--steps N] [--method full|lora] [--rank R]
The batch is that of `cadforge train grad`: {"input_ids": [[...], ...], "attention_mask"?: [[1 or 0, ...], ...]}, right
padded; every token that is there is learnt and counted."""
import argparse
import json
import os
import sys
import time

# before torch: its threads ask for these once
for key, value in {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
                   "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}.items():
    os.environ.setdefault(key, value)


def read_batch(path):
    """Rows of equal length, their masks, and how many tokens are no padding."""
    with open(path, encoding="utf-8") as f:
        batch = json.load(f)
    rows = batch["input_ids"]
    masks = batch.get("attention_mask") or [[1] * len(row) for row in rows]
    width = max(map(len, rows))
    rows = [row + [0] * (width - len(row)) for row in rows]
    masks = [mask + [0] * (width - len(mask)) for mask in masks]
    return rows, masks, sum(map(sum, masks))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("model")
    p.add_argument("--batch", required=True)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--method", choices=["full", "lora"], default="full")
    p.add_argument("--rank", type=int, default=16)
    o = p.parse_args()
    rows, masks, tokens = read_batch(o.batch)

    os.environ["OMP_NUM_THREADS"] = str(o.threads)
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    m = transformers.AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.float32)
    if o.method == "lora":
        import peft
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b",
                   "out_proj", "gate_proj", "up_proj", "down_proj"]
        m = peft.get_peft_model(m, peft.LoraConfig(r=o.rank, lora_alpha=2 * o.rank, target_modules=targets,
                                                   task_type="CAUSAL_LM"))
    m.train()
    m.config.use_cache = False
    learnt = [x for x in m.parameters() if x.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-4, weight_decay=0.0)
    ids, mask = torch.tensor(rows), torch.tensor(masks)
    labels = ids.masked_fill(mask == 0, -100)
    # without padding there is nothing to mask: the quicker way
    extra = {} if bool(mask.all()) else {"attention_mask": mask}

    best, first = float("inf"), None
    for step in range(o.steps + 1):
        begin = time.perf_counter()
        loss = m(input_ids=ids, labels=labels, **extra).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        took = time.perf_counter() - begin
        if step == 0:
            first = loss.item()  # and it warms up: not timed
        else:
            best = min(best, took)
    print(json.dumps({"name": f"transformers_{o.method}", "value": round(tokens / best, 2), "unit": "1/s",
                      "seconds": round(best, 4), "loss": round(first, 5)}), flush=True)


try:
    main()
except ImportError as e:
    print(f"bench_transformers.py: {e}: needs torch and transformers, and peft for --method lora", file=sys.stderr)
    sys.exit(3)

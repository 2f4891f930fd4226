#!/usr/bin/env python3
"""What `cadforge bench inference --peer PYTHON` sets our CPU backend against, in the same minutes on the same cores:
llama.cpp on a llama model of as many random F32 parameters, and OpenBLAS' sgemm on the shapes of our prefill.

PYTHON is an interpreter with numpy, gguf and llama-cpp-python, for example of
  python3 -m venv peer && peer/bin/pip install numpy gguf llama-cpp-python
Prints a line of JSON for each figure: {"name", "value", "unit"}. Nothing is downloaded; the model is written to a
temporary folder. Usage: bench_llama.py [--parameters N] [--hidden H] [--layers L] [--vocabulary V] [--threads N]
[--seconds S] [--only llama|sgemm] [--serve]
With --serve it stays, and measures a figure each time its name comes as a line on fd 3, where it also answers: so that
peer and engine can take turns."""
import argparse
import json
import os
import socket
import sys
import tempfile
import time


def say(name, value, unit, to=None):
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), file=to, flush=True)


def write_model(path, o):
    """A llama model with tied embeddings whose MLP is as wide as @o.parameters asks for."""
    import gguf
    import numpy as np

    heads = max(1, o.hidden // 64)
    kv = max(1, heads // 2)
    dim = o.hidden // heads
    attention = 2 * o.hidden * heads * dim + 2 * o.hidden * kv * dim
    mlp = (o.parameters - o.vocabulary * o.hidden - o.layers * attention) / (3 * o.hidden * o.layers)
    mlp = max(32, round(mlp / 32) * 32)
    rng = np.random.default_rng(1)

    def matrix(*shape):
        return (rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02))

    w = gguf.GGUFWriter(path, "llama")
    w.add_context_length(4096)
    w.add_embedding_length(o.hidden)
    w.add_block_count(o.layers)
    w.add_feed_forward_length(mlp)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_rope_dimension_count(dim)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_vocab_size(o.vocabulary)
    w.add_tokenizer_model("no_vocab")
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_tensor("token_embd.weight", matrix(o.vocabulary, o.hidden))
    w.add_tensor("output_norm.weight", np.ones(o.hidden, dtype=np.float32))
    count = o.vocabulary * o.hidden
    for i in range(o.layers):
        for name, shape in {
            "attn_q": (heads * dim, o.hidden),
            "attn_k": (kv * dim, o.hidden),
            "attn_v": (kv * dim, o.hidden),
            "attn_output": (o.hidden, heads * dim),
            "ffn_gate": (mlp, o.hidden),
            "ffn_up": (mlp, o.hidden),
            "ffn_down": (o.hidden, mlp),
        }.items():
            w.add_tensor(f"blk.{i}.{name}.weight", matrix(*shape))
            count += shape[0] * shape[1]
        for name in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"blk.{i}.{name}.weight", np.ones(o.hidden, dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return count


def best_rate(once, seconds):
    """The best of the rates that once() returns within @seconds; the first one warms up."""
    once()
    best, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        best = max(best, once())
    return best


def llama(o, folder):
    """The figures of llama.cpp by name, each a function that returns a rate."""
    import ctypes

    import llama_cpp as L

    path = os.path.join(folder, "peer.gguf")
    count = write_model(path, o)

    @L.llama_log_callback
    def quiet(level, text, data):
        pass

    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    mp = L.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = L.llama_model_load_from_file(path.encode(), mp)
    if not model:
        sys.exit("llama.cpp could not load the model")
    cp = L.llama_context_default_params()
    cp.n_ctx, cp.n_batch, cp.n_ubatch = 2048, 512, 512
    cp.n_threads = cp.n_threads_batch = o.threads
    context = L.llama_init_from_model(model, cp)

    def feed(n, at):
        b = L.llama_batch_init(n, 0, 1)
        b.n_tokens = n
        for i in range(n):
            b.token[i] = (i * 7 + at) % o.vocabulary
            b.pos[i] = at + i
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = 0
            b.logits[i] = i == n - 1
        begin = time.perf_counter()
        if L.llama_decode(context, b) != 0:
            sys.exit("llama.cpp could not decode")
        L.llama_synchronize(context)
        took = time.perf_counter() - begin
        L.llama_batch_free(b)
        return took

    def clear():
        L.llama_memory_clear(L.llama_get_memory(context), True)

    def decode():
        clear()
        feed(16, 0)
        n = 64 if count < 50e6 else 16
        return n / sum(feed(1, 16 + i) for i in range(n))

    def prefill():
        clear()
        return 512 / feed(512, 0)

    return {"llama_decode": (decode, "tokens/s"), "llama_prefill_512": (prefill, "tokens/s")}


def sgemm(o):
    """The same of OpenBLAS."""
    import numpy as np

    rng = np.random.default_rng(1)
    mlp = 5 * o.hidden // 2
    figures = {}
    for rows, k in ((3 * o.hidden, o.hidden), (mlp, o.hidden), (o.hidden, mlp)):
        w = rng.standard_normal((rows, k), dtype=np.float32)
        x = rng.standard_normal((512, k), dtype=np.float32)

        def once(w=w, x=x):
            begin = time.perf_counter()
            np.matmul(x, w.T)
            return 2e-9 * w.shape[0] * w.shape[1] * 512 / (time.perf_counter() - begin)

        figures[f"sgemm_{rows}x{k}x512"] = (once, "GFLOP/s")
    return figures


def serve(o, figures):
    line = socket.socket(fileno=3).makefile("rw")
    for name in figures:
        say(name, 0, figures[name][1], line)
    say("ready", 1, "", line)
    for wanted in line:
        once, unit = figures[wanted.strip()]
        say(wanted.strip(), best_rate(once, o.seconds), unit, line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--parameters", type=int, default=10_500_000)
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--vocabulary", type=int, default=3200)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--only", choices=("llama", "sgemm"))
    p.add_argument("--serve", action="store_true")
    o = p.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(o.threads))
    with tempfile.TemporaryDirectory(prefix="cadforge-peer-") as folder:
        figures = {} if o.only == "llama" else sgemm(o)
        if o.only != "sgemm":
            figures.update(llama(o, folder))
        if o.serve:
            serve(o, figures)
        else:
            for name, (once, unit) in figures.items():
                say(name, best_rate(once, o.seconds if "llama" in name else o.seconds / 3), unit)


if __name__ == "__main__":
    main()

/*
 * train_bench.h - how fast the CPU trainer is, beside what the processor's matrix products reach in
 * the same minutes: the mode `--bench` of cadforge-train.
 *
 *     cadforge-train --bench DIR [--rounds N] [--threads N]
 *
 * Makes a fresh model of the demonstration model's shape and a batch of 8 samples of 384 tokens,
 * all to be learnt, and leaves both in DIR (model/, batch.json) for a peer. Prints a JSON object a
 * line, the best of the rounds, which take turns:
 *     {"name": "sgemm", "value": GF/s of 2048 x 2048 x 2048 on all threads, "threads", "about"}
 *     {"name": "adamw" | "muon" | "lora", "value": tokens/s of whole steps (gradients to zero,
 *      forward, backward, norm, update), "seconds", "gflop": that the model needs, "loss"}
 *     {"name": "checkpoint", "value": seconds}
 * What a model needs: its products, twice that again going back (once for LoRA, where the base
 * learns nothing, beside the adapter's own), attention over what may be seen, and the delta rule
 * token by token. Norms, activations, the optimizer and what chunks cost beyond are time alone.
 */
#ifndef GPU_TRAIN_BENCH_H
#define GPU_TRAIN_BENCH_H

/* @argv from "--bench" on; the exit status. */
int train_bench_main(int argc, char **argv);

#endif

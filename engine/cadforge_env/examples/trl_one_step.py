#!/usr/bin/env python3
"""TRL's GRPO trainer against `cadforge serve`: by default one step of a tiny model, made on the spot, in a minute on a CPU.

    cadforge serve &
    pip install 'cadforge_env[trl]' && python trl_one_step.py --url http://127.0.0.1:8000

With --model NAME a real one is trained instead; its chat template must have tool calls.

The tiny model: two layers with random weights, whose vocabulary has four whole answers as one token each, a tool call
with a program in it. After a moment of supervised training it gives one of the four, none rather than another, and then
ends. What GRPO does to such a model can be read off: the better programs get likelier. Two of the four build.
"""
import argparse
import functools
import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import trl
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from cadforge_env import CadForgeEnvironment

PROGRAMS = [
    "import cadquery as cq\nplate = cq.Workplane().box(60, 12, 90)\narm = cq.Workplane().box(14, 70, 14)"
    ".translate((0, 38, -30))\ntip = cq.Workplane().box(14, 14, 40).translate((0, 68, -17))\n"
    "fixture = plate.union(arm).union(tip)",
    "import cadquery as cq\nfixture = cq.Workplane().box(10, 20, 30)",
    "import cadquery as cq\nfixture = cq.Workplane().bax(10, 20, 30)",
    "fixture = (",
]
TASK = "wall_j_hook_120n"


def tool_call(code):
    call = json.dumps({"name": "submit_cadquery", "arguments": {"code": code}})
    return f"<tool_call>\n{call}\n</tool_call>"


def tiny():
    """(model, tokenizer, the four answers' tokens)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AddedToken, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.train_from_iterator([open(__file__).read()], trainers.BpeTrainer(
        vocab_size=600, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                        additional_special_tokens=["<|im_start|>"])
    # a template that TRL knows how to read tool calls from
    with open(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "qwen3_instruct_2507.jinja")) as f:
        tokenizer.chat_template = f.read()
    answers = [tool_call(code) for code in PROGRAMS]
    tokenizer.add_tokens([AddedToken(a, normalized=False) for a in answers])
    model = Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=8192, tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    return model, tokenizer, [tokenizer.convert_tokens_to_ids(a) for a in answers]


def warm_up(model, tokenizer, answers, prompt, environment, steps=40):
    """Any of the four answers after the prompt, the end after an answer, and after what came of it. Gives the prompt's
    tokens."""
    def ids_of(messages):
        return tokenizer.apply_chat_template(messages, tools=[environment.submit_cadquery], add_generation_prompt=True,
                                             tokenize=True, return_dict=False)

    begun = ids_of(prompt)
    end = [tokenizer.eos_token_id]
    heard = []
    for code in PROGRAMS:
        call = {"type": "function", "function": {"name": "submit_cadquery", "arguments": {"code": code}}}
        heard.append(ids_of(prompt + [{"role": "assistant", "content": "", "tool_calls": [call]},
                                      {"role": "tool", "name": "submit_cadquery", "content": "reward 0.731\n- a note"}]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for k in range(steps):
        for ids, wanted in ((begun, answers), (begun + [answers[k % 4]], end), (heard[k % 4], end)):
            probabilities = torch.zeros(1, model.config.vocab_size)
            probabilities[0, wanted] = 1 / len(wanted)
            loss = torch.nn.functional.cross_entropy(model(torch.tensor([ids]), logits_to_keep=1).logits[:, -1], probabilities)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return torch.tensor([begun])


def chances(model, prompt_ids, answers):
    with torch.no_grad():
        return model(prompt_ids.to(model.device)).logits[0, -1].softmax(-1)[answers].tolist()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", help="of the server (default: CADFORGE_SERVE_URL, else http://127.0.0.1:8000)")
    p.add_argument("--model", help="a model's folder or name, in place of the tiny one")
    p.add_argument("--steps", type=int, default=1)
    p.add_argument("--out", default="trl-out", help="folder of what the trainer writes (default: %(default)s)")
    o = p.parse_args()
    torch.manual_seed(1)
    prompt = [{"role": "user", "content": "Write CadQuery."}]
    answers = prompt_ids = tokenizer = None
    model = o.model
    if model is None:
        torch.set_num_threads(1)  # so small a model gains nothing by more
        model, tokenizer, answers = tiny()
        # as the trainer will show it: what reset gives stands behind the prompt
        environment = CadForgeEnvironment(o.url)
        shown = [{"role": "user", "content": prompt[0]["content"] + environment.reset(task_id=TASK)}]
        prompt_ids = warm_up(model, tokenizer, answers, shown, environment)
        before = chances(model, prompt_ids, answers)
    trainer = GRPOTrainer(
        model=model, processing_class=tokenizer,
        # the reward is the environment's own: CadForgeEnvironment.get_reward
        environment_factory=functools.partial(CadForgeEnvironment, base_url=o.url),
        train_dataset=Dataset.from_list([{"prompt": prompt, "task_id": TASK}] * 8 * o.steps),
        args=GRPOConfig(output_dir=o.out, max_steps=o.steps, per_device_train_batch_size=8, num_generations=8,
                        max_completion_length=1024, max_tool_calling_iterations=2, learning_rate=1e-3, beta=0.0,
                        lr_scheduler_type="constant", use_cpu=not torch.cuda.is_available(), bf16=False,
                        gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none", seed=1,
                        disable_tqdm=True))
    trainer.train()
    for row in trainer.state.log_history:
        shown = {k: row[k] for k in ("loss", "reward", "reward_std", "grad_norm", "tools/call_frequency",
                                     "tools/failure_frequency") if k in row}
        if shown:
            print(json.dumps({"step": row["step"], **shown}))
    if answers:
        print(json.dumps({"chances_before": before, "chances_after": chances(trainer.model, prompt_ids, answers)}))


if __name__ == "__main__":
    main()

"""The published schemas and `cadforge tasks check` refuse the same files.

Every value of a task that has each kind of check is replaced, dropped and joined by a stranger in
turn; each file is judged by the schema (python3-jsonschema) and by the program.
usage: tasks_schema.py CADFORGE TASKS_DIR WORK_DIR
"""

import copy
import glob
import json
import os
import subprocess
import sys

import jsonschema

# What no schema says: order, sameness, other files, and what only a finished task has.
BEYOND = (
    "no check covers it", "No such file", "min at most max", "from below to", "expect has no",
    "is there twice", "another check", "another dimension", "as the file is called", "[from, to]",
    "nothing would be looked at",
)
REPLACEMENTS = (None, -1, 0.5, 3, "x", "", [], {}, True, 1e99, ["x"], "y")

CHECKS = [
    {"id": "a", "kind": "bbox_mm", "want": [10, None, 30], "max": True, "min_fraction": 0.5, "covers": ["f"]},
    {"id": "b", "kind": "solids", "want": [1, None], "weight": 2, "about": "words", "tolerance": 0.1,
     "tolerance_mm": 2},
    {"id": "c", "kind": "holes", "want": 4, "axis": "z", "diameter_mm": [5, 6], "through": True,
     "region": {"from": [0, 0, 0], "to": [1, 1, 1]}, "pattern": {"circle": {"diameter_mm": 40, "equal": True}}},
    {"id": "d", "kind": "holes", "want": 4, "axis": "z", "diameter_mm": 5, "pattern": {"grid": [2, 2]},
     "per": "axis", "slotted": False, "min_turn_deg": 200, "mirror": "xz"},
    {"id": "e", "kind": "section", "axis": "x", "at": [0.1, 0.2], "want": 1, "area_mm2": [1, None], "min_area_mm2": 1},
    {"id": "f", "kind": "section", "axis": "x", "at_mm": 5, "want": 1},
    {"id": "g", "kind": "pieces", "want": 1, "region": {"from": [0, 0, 0], "to": [1, 1, 0.5]}},
    {"id": "h", "kind": "windows", "axis": "y", "want": 1, "min_area_mm2": 4, "mirror": ["xz", "yz"]},
    {"id": "i", "kind": "contacts", "want": 4, "side": "-z"},
    {"id": "j", "kind": "rotational_symmetry", "axis": "z", "order": 6, "min_iou": 0.9},
    {"id": "k", "kind": "mirror_symmetry", "plane": "xz"},
    {"id": "l", "kind": "faces", "surface": ["cylinder", "cone"], "want": [1, 2], "radius_mm": [1, 2], "axis": "z",
     "side": "in", "turn_deg": [90, None], "per": "surface", "tilt_deg": [0, 10], "mirror": None},
    {"id": "m", "kind": "slots", "axis": "z", "at": 0.5, "radius": [0.8, 0.9], "want": 12},
    {"id": "n", "kind": "wall_thickness_min_mm", "want": 2},
    {"id": "o", "kind": "volume_fraction", "want": [0.1, 0.5]},
    {"id": "p", "kind": "stands", "margin": 0.1},
    {"id": "q", "kind": "clearance", "region": {"from": [0, 0, 0], "to": [1, 1, 1]}, "max_fill": 0.1},
    {"id": "r", "kind": "reach", "region": {"from": [0, 0, 0], "to": [1, 1, 1]}, "min_fill": 0.1},
    {"id": "s", "kind": "joint", "axis": None, "clearance_mm": 0.2, "want": 2},
]
TASK = {
    "format": "cadforge-task-1", "id": "t", "level": "easy", "family": "f", "bbox_mm": [10, 20, 30],
    "semantic_hints": ["w"], "prompt": "p", "dimensions": [{"name": "d", "value_mm": 1, "about": "a"}],
    "expect": {"f": 4, "g": ["a", 1]}, "seed_box_over_height": [1, 1, 1], "reference": "references/t.py",
    "orientation": "free", "checks": CHECKS,
}


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from places(child, path + (key,))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def mutants():
    yield copy.deepcopy(TASK), "as it is"
    for n, path in enumerate(places(TASK)):
        if not path or path == ("id",):
            continue
        # one of them for each place, another for the next: all for all takes half a minute
        for new in (REPLACEMENTS[n % len(REPLACEMENTS)],):
            m = copy.deepcopy(TASK)
            at(m, path[:-1])[path[-1]] = copy.deepcopy(new)
            yield m, "%s = %r" % (path, new)
        m = copy.deepcopy(TASK)
        del at(m, path[:-1])[path[-1]]
        yield m, "without %s" % (path,)
        if isinstance(at(TASK, path), dict):
            m = copy.deepcopy(TASK)
            at(m, path)["stranger"] = {"a": 1}
            yield m, "a stranger in %s" % (path,)
        elif isinstance(at(TASK, path), list):
            m = copy.deepcopy(TASK)
            at(m, path).append(7)
            yield m, "one more in %s" % (path,)


def main():
    cadforge, tasks, work = sys.argv[1:]
    schema = {}
    for name in ("task", "pack", "prompts", "profile", "curriculum"):
        with open("%s/%s.schema.json" % (tasks, name), encoding="utf-8") as f:
            text = json.load(f)
        jsonschema.Draft202012Validator.check_schema(text)
        schema[name] = jsonschema.Draft202012Validator(text)
    bad = 0
    for name, pattern in (
        ("task", "cadforge/*.json"), ("pack", "cadforge/pack.json"), ("prompts", "prompts/*/set.json"),
        ("profile", "profiles/*.json"), ("curriculum", "curriculum/*.json"),
    ):
        files = [f for f in glob.glob("%s/%s" % (tasks, pattern)) if name == "pack" or not f.endswith("/pack.json")]
        if not files:
            print("no file fits %s" % pattern)
            bad += 1
        for file in files:
            with open(file, encoding="utf-8") as f:
                for error in schema[name].iter_errors(json.load(f)):
                    print("%s: %s: %s" % (file, error.json_path, error.message[:300]))
                    bad += 1

    pack = os.path.join(work, "mutants")
    os.mkdir(pack)
    with open(pack + "/pack.json", "w", encoding="utf-8") as f:
        json.dump({"format": "cadforge-pack-1", "name": "mutants", "about": "a"}, f)
    judged = []
    for n, (task, what) in enumerate(mutants()):
        task["id"] = task["id"] if task.get("id") != "t" else "m%d" % n
        with open("%s/m%d.json" % (pack, n), "w", encoding="utf-8") as f:
            json.dump(task, f)
        judged.append((what, not schema["task"].is_valid(task)))
    out = subprocess.run([cadforge, "tasks", "check", "--json", pack], stdout=subprocess.PIPE, check=False).stdout
    said = {}
    for line in out.splitlines():
        problem = json.loads(line)
        if not problem["remark"] and not any(b in problem["text"] for b in BEYOND):
            said.setdefault(os.path.basename(problem["file"]), []).append(problem["text"])
    beyond = {}
    for line in out.splitlines():
        problem = json.loads(line)
        beyond.setdefault(os.path.basename(problem["file"]), []).append(problem["text"])
    refused = 0
    for n, (what, by_schema) in enumerate(judged):
        file = "m%d.json" % n
        by_us = file in said
        refused += by_schema
        if by_schema and file not in beyond or by_us and not by_schema:
            print("%s: schema %s, we %s %s" % (
                what, "refuses" if by_schema else "accepts", "refuse" if by_us else "accept", said.get(file, "")))
            bad += 1
    print("# %d files, %d refused" % (len(judged), refused))
    if refused < len(judged) // 2 or judged[0][1]:
        print("the mutants are not what they should be")
        bad += 1
    return 1 if bad else 0


sys.exit(main())

"""Every row of the parity set through the real `cadforge score`, compared with the published evaluator's figures.

usage: parity.py CADFORGE PARITY_DIR [whole]     prints TAP, one point a row of expected.jsonl

Without "whole", as make check has it, the parts that take a second or more to build, the set's solutions, are scored in
one of their three ways each, eight in each way; all other rows are scored. make check-exact scores all.

Tolerances are those of the set's README: outcomes, classes and counts equal; fast terms and total within 1e-6; full
terms within 2e-3 and total within 1e-3; the text scores exact. Exempt, as there: game_export_hijack, whose row holds
forged figures (ours must measure the 1 mm cube).
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict

ENV = "ocp781-trimesh412"
TERMS = ("build", "topology", "contact", "semantic_parts", "reference_similarity", "silhouette", "editability", "efficiency")
COUNTS = {
    "triangles": "faces",
    "vertices": "vertices",
    "components": "components",
    "boundary_edges": "boundary_edges",
    "non_manifold_edges": "non_manifold_edges",
    "degenerate_faces": "degenerate_faces",
    "watertight": "watertight",
    "winding_consistent": "winding_consistent",
}
# The one part of the set that kernel 7.8 and 7.9 mesh into different numbers of triangles (all else is equal).
OTHER_KERNEL = "folding_step_stool"
CONTACT = ("components_checked", "mean_gap_ratio", "max_gap_ratio", "large_gap_components")


def close(got, want, tol):
    if want is None or got is None:
        return got is want
    return abs(got - want) <= tol


def compare(row, got):
    full = row["mode"] == "full"
    term_tol, total_tol = (2e-3, 1e-3) if full else (1e-6, 1e-6)
    # The tasks' own boxes are published with four digits; the similarity divides by them once or twice.
    box_tol = 3e-4 if row["ref"] == "task" else term_tol
    total_tol = max(total_tol, 0.1 * box_tol)
    # The chamfer term is taken at 1,500 points drawn by triangle number. Where two versions of the kernel number the
    # same triangles differently (1 of 98 rows) that is another draw, which moves the term by its own noise.
    reference_tol = 3e-3 if full else box_tol
    wrong = []

    def check(name, ours, theirs, tol=None):
        same = close(ours, theirs, tol) if tol is not None else ours == theirs
        if not same:
            wrong.append(f"{name}: got {ours}, want {theirs}")

    reward, build = got["reward"], got["build"]
    check("build.ok", build["ok"], row["build_ok"])
    check("build.class", build["class"], row["failure_class"])
    check("cheap", got["cheap"], row.get("cheap"), 1e-12)
    check("reward.total", reward["total"], row.get("total"), total_tol)
    check("strict", got["strict"], row.get("strict"), total_tol)
    check("shaped", got["shaped"], row.get("build_fail_shaped"), total_tol)
    if row.get("evaluator_crash"):
        return wrong
    for term in TERMS:
        tol = {"reference_similarity": reference_tol, "silhouette": box_tol}.get(term, term_tol)
        check(term, reward[term], row.get(term, 0.0), tol)
    check("notes", len(got["notes"]), len(row["notes"]))
    if row["build_ok"]:
        check("notes", got["notes"], row["notes"])
        for ours, theirs in COUNTS.items():
            if ours in ("triangles", "vertices") and row["case"].endswith(OTHER_KERNEL):
                continue
            check("mesh." + ours, got["mesh"][ours], row["topology_details"][theirs])
        if row["contact_details"].get("components_checked") is not None:
            for key in CONTACT:
                check("contact." + key, got["contact"][key], row["contact_details"][key], 1e-6)
    return wrong


def sample(rows):
    """Of the solutions one way each, in turn; of the cases all."""
    solutions = sorted({r["case"] for r in rows if r["case"].startswith("solutions/")})
    ways = sorted({(r["mode"], r["ref"]) for r in rows})
    way = {case: ways[i % len(ways)] for i, case in enumerate(solutions)}
    return [r for r in rows if way.get(r["case"], (r["mode"], r["ref"])) == (r["mode"], r["ref"])]


def main(cadforge, parity, whole=None):
    rows = [json.loads(line) for line in open(f"{parity}/expected.jsonl", encoding="utf-8")]
    rows = [r for r in rows if r["env"] == ENV]
    if whole != "whole":
        rows = sample(rows)
    files = {}
    for line in open(f"{parity}/manifest.tsv", encoding="utf-8"):
        case, _, file = line.rstrip("\n").split("\t")
        files[case] = f"{parity}/{file}"
    groups = defaultdict(list)
    for row in rows:
        groups[(row["mode"], row["ref"])].append(row)
    print(f"1..{len(rows)}")
    number = failed = 0
    for (mode, ref), group in sorted(groups.items()):
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as names:
            for row in group:
                names.write(f"{files[row['case']]}\t{row['task'] or 'none'}\n")
            names.flush()
            command = [cadforge, "score", "--json", "--quiet", "--list", names.name, "--profile", "seed-" + mode]
            command += ["--reference", "seed-task" if ref == "task" else f"{parity}/reference"]
            run = subprocess.run(command, capture_output=True, text=True)
        lines = run.stdout.splitlines()
        for i, row in enumerate(group):
            number += 1
            try:
                got = json.loads(lines[i])
                if row["case"].endswith("game_export_hijack"):
                    cube = got["geometry"] and abs(got["geometry"]["volume_mm3"] - 1) < 1e-9
                    wrong = [] if cube else ["not the 1 mm cube"]
                else:
                    wrong = compare(row, got)
            except (IndexError, ValueError) as error:
                wrong = [f"no line of JSON ({error}); exit status {run.returncode}; {run.stderr.strip()[-300:]}"]
            print(("not ok" if wrong else "ok") + f" {number} - {row['case']} {mode} {ref}")
            for text in wrong:
                print(f"#   {text}")
            failed += bool(wrong)
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

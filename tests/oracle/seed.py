"""Vectors for the published reward's measures, made by the libraries that it used.

    python -m venv v && v/bin/pip install numpy==2.4.4 scipy==1.17.1 pillow==12.2.0 trimesh==4.12.1 networkx==3.6.1
    v/bin/python tests/oracle/seed.py tests/data/seed

Writes triangles.txt (Pillow's polygon fill), mesh.json (trimesh, scipy, numpy), text.json (Python's
re and str). Seed 20261122 throughout; versions are in each file. With "N" as a second argument
nothing is written: N random triangles are compared with Pillow through a shared object of
engine/silhouette.c (third argument), which is how the claim of equality was first proved:

    cc -shared -fPIC -O2 -ffp-contract=off -I. engine/silhouette.c src/base/err.c -o sil.so -lm
    v/bin/python tests/oracle/seed.py tests/data/seed 100000 ./sil.so
"""
import json
import re
import sys

import numpy as np
import PIL
import scipy
import trimesh
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

SEED = 20261122
VERSIONS = {
    "script": "tests/oracle/seed.py", "seed": SEED, "python": sys.version.split()[0],
    "numpy": np.__version__, "scipy": scipy.__version__, "pillow": PIL.__version__,
    "trimesh": trimesh.__version__,
}


def random_triangle(rng, i):
    """Eight kinds by turns: any, tiny, flat, narrow, a level side, an upright side, small, a sliver."""
    def off(at, lo, hi):
        return np.clip(at + rng.integers(lo, hi, 3), 0, 511)
    x, y = rng.integers(0, 512, 3), rng.integers(0, 512, 3)
    kind, j = i % 8, rng.permutation(3)
    cx, cy = rng.integers(0, 512, 2)
    if kind == 1:
        x, y = off(cx, 0, 8), off(cy, 0, 8)
    elif kind == 2:
        y = off(cy, -4, 5)
    elif kind == 3:
        x = off(cx, -4, 5)
    elif kind == 4:
        y[j[0]] = y[j[1]]
    elif kind == 5:
        x[j[0]] = x[j[1]]
    elif kind == 6:
        x, y = off(cx, 0, 60), off(cy, 0, 40)
    elif kind == 7:
        d = rng.integers(-30, 31, 2)
        x = np.clip([cx, cx + 3 * d[0], cx + 7 * d[0] + rng.integers(-2, 3)], 0, 511)
        y = np.clip([cy, cy + 3 * d[1], cy + 7 * d[1] + rng.integers(-2, 3)], 0, 511)
    return [int(v) for v in x], [int(v) for v in y]


def pillow_mask(triangles):
    image = Image.new("L", (512, 512), 0)
    draw = ImageDraw.Draw(image)
    for x, y in triangles:
        draw.polygon([(float(a), float(b)) for a, b in zip(x, y)], fill=255)
    return np.asarray(image) > 0


def mask_hash(mask):
    """FNV-1a over row number and first and last column of each run of pixels."""
    h = 0xCBF29CE484222325
    for row in np.nonzero(mask.any(axis=1))[0]:
        edges = np.diff(np.concatenate(([0], mask[row].astype(np.int8), [0])))
        for a, b in zip(np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0]):
            for v in (row, a, b - 1):
                h = ((h ^ int(v)) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def write_triangles(path):
    rng = np.random.default_rng(SEED)
    with open(path, "w") as f:
        f.write("# " + json.dumps(VERSIONS) + "\n# x0 y0 x1 y1 x2 y2 pixels hash\n")
        for i in range(2000):
            x, y = random_triangle(rng, i)
            m = pillow_mask([(x, y)])
            f.write(" ".join(f"{a} {b}" for a, b in zip(x, y)) + f" {m.sum()} {mask_hash(m):016x}\n")


def soups(rng):
    def of(mesh):
        return np.asarray(mesh.triangles, dtype=np.float32)
    ball = trimesh.creation.icosphere(subdivisions=1, radius=50)
    box = trimesh.creation.box((100, 60, 80))
    yield "ball", of(ball)
    yield "box", of(box)
    yield "box_far_away", of(box.copy().apply_translation((123456.7, -98765.4, 5432.1)))
    yield "box_without_a_side", of(box)[:-2]
    turned = of(box).copy()
    turned[3] = turned[3][::-1]
    yield "box_with_a_turned_triangle", turned
    edge = box.copy().apply_translation((100, 60, 0))
    yield "two_boxes_sharing_an_edge", np.concatenate([of(box), of(edge)])
    top = box.copy().apply_translation((0, 0, 80))
    yield "two_boxes_sharing_a_side", np.concatenate([of(box), of(top)])
    yield "box_twice", np.concatenate([of(box), of(box)])
    pieces = [of(trimesh.creation.box((9, 8, 7)).apply_translation(rng.uniform(-200, 200, 3))) for _ in range(30)]
    yield "thirty_loose_boxes", np.concatenate(pieces)
    specks = [of(trimesh.creation.box((0.5, 0.5, 0.5)).apply_translation((90 + 3 * k, 0, 0))) for k in range(5)]
    yield "box_and_specks", np.concatenate([of(box)] + specks)
    yield "grid_triangles", rng.integers(0, 4, (120, 3, 3)).astype(np.float32)
    yield "grid_of_1e-8", (rng.integers(0, 3, (60, 3, 3)) * 1e-8 + rng.uniform(-0.6e-8, 0.6e-8, (60, 3, 3))).astype(np.float32)
    near = of(ball) * np.float32(1e-3) + rng.uniform(-2e-9, 2e-9, (80, 3, 3)).astype(np.float32)
    yield "small_ball_with_noise", near.astype(np.float32)
    yield "one_triangle_on_the_floor", np.array([[[0, 0, 0], [3, 0, 0], [0, 4, 0]]], dtype=np.float32)
    sliver = np.concatenate([of(box), [[[0, 0, 0], [1e-6, 0, 0], [0, 1e-6, 1e-7]]], [[[5, 5, 5], [5, 5, 5], [9, 9, 9]]]])
    yield "box_with_degenerate_triangles", sliver.astype(np.float32)
    yield "huge_coordinates", (of(box) * np.float32(3e12)).astype(np.float32)
    cyl = trimesh.creation.cylinder(radius=20, height=90, sections=24)
    yield "cylinder", of(cyl)


def normalized(mesh):
    v = np.array(mesh.vertices)
    v = v * (1000.0 / max(np.ptp(v[:, 2]), 1e-9))
    lo, hi = v.min(axis=0), v.max(axis=0)
    v = v + np.array([-(lo[0] + hi[0]) / 2, -(lo[1] + hi[1]) / 2, -lo[2]])
    return trimesh.Trimesh(v, np.array(mesh.faces), process=False)


def contact(mesh):
    comps = trimesh.graph.connected_components(mesh.face_adjacency, nodes=np.arange(len(mesh.faces)), min_len=1)
    height = max(np.ptp(mesh.vertices[:, 2]), 1e-9)
    boxes = []
    for c in comps:
        p = mesh.vertices[mesh.faces[np.asarray(c)]].reshape(-1, 3)
        boxes.append((p.min(axis=0), p.max(axis=0)))
    n_all = len(boxes)
    if n_all > 1:
        boxes = [b for b in boxes if np.linalg.norm(b[1] - b[0]) >= 0.015 * height]
    out = {"components": n_all, "checked": len(boxes), "mean": 0.0, "max": 0.0, "large": 0}
    if len(boxes) > 1:
        gaps = []
        for i, a in enumerate(boxes):
            gaps.append(min(float(np.linalg.norm(np.maximum(0, np.maximum(a[0] - b[1], b[0] - a[1]))))
                            for k, b in enumerate(boxes) if k != i) / height)
        out |= {"mean": float(np.mean(gaps)), "max": float(max(gaps)), "large": int(sum(g > 0.08 for g in gaps))}
    return out


def view_axes(v):
    a, b = np.radians(42), np.radians(58)
    rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    rx = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    iso = v @ (rz @ rx).T
    return [(v[:, 0], v[:, 2]), (-v[:, 0], v[:, 2]), (v[:, 1], v[:, 2]), (-v[:, 1], v[:, 2]),
            (v[:, 0], v[:, 1]), (iso[:, 0], iso[:, 2])]


def view_masks(mesh):
    masks = []
    for across, up in view_axes(np.asarray(mesh.vertices)):
        p = np.column_stack([across, up])
        lo, span = p.min(axis=0), np.ptp(p, axis=0)
        q = (p - lo) * ((512 - 56) / max(span[0], span[1], 1e-9)) + 28
        q[:, 1] = 512 - q[:, 1]
        masks.append(pillow_mask([(t[:, 0], t[:, 1]) for t in q[mesh.faces]]))
    return masks


def write_meshes(path):
    rng = np.random.default_rng(SEED)
    out, masks, points = [], {}, {}
    for name, soup in soups(rng):
        raw = trimesh.Trimesh(**trimesh.triangles.to_kwargs(soup.astype(np.float64)), process=True)
        mesh = normalized(raw)
        _, used = np.unique(np.sort(mesh.edges, axis=1), axis=0, return_counts=True)
        v = np.asarray(mesh.vertices)
        height = max(np.ptp(v[:, 2]), 1e-9)
        low = v[v[:, 2] < v[:, 2].min() + 0.25 * height]
        c = contact(mesh)
        item = {
            "name": name, "soup": [float(x) for x in soup.reshape(-1)],
            "vertices": len(v), "triangles": len(mesh.faces), "components": c["components"],
            "boundary_edges": int((used == 1).sum()), "non_manifold_edges": int((used > 2).sum()),
            "degenerate_faces": int((mesh.area_faces < 1e-8).sum()),
            "watertight": bool((used == 2).all()), "winding_consistent": bool(mesh.is_winding_consistent),
            "first_vertex_of_triangle": [int(f[0]) for f in mesh.faces],
            "box_len_mm": [float(x) for x in np.ptp(np.asarray(raw.vertices), axis=0)],
            "normalized_len": [float(x) for x in np.ptp(v, axis=0)],
            "area": float(raw.area), "contact": c,
            "low_p90_ratio": float(np.percentile(np.hypot(low[:, 0], low[:, 1]), 90) / height) if len(low) else 0.0,
            "high_vertices": int((v[:, 2] > v[:, 2].min() + 0.55 * height).sum()),
        }
        masks[name] = view_masks(mesh)
        item["mask_pixels"] = [int(m.sum()) for m in masks[name]]
        item["mask_hash"] = [f"{mask_hash(m):016x}" for m in masks[name]]
        np.random.seed(7)
        points[name] = trimesh.sample.sample_surface(mesh, 1500)[0].astype(np.float32)
        item["points"] = [float(x) for x in points[name][::100].reshape(-1)]
        out.append(item)
    pairs = []
    for a, b in (("ball", "box"), ("cylinder", "thirty_loose_boxes"), ("box", "box"), ("grid_triangles", "ball")):
        ab = float(np.mean(cKDTree(points[b]).query(points[a])[0]))
        ba = float(np.mean(cKDTree(points[a]).query(points[b])[0]))
        iou = [float((p & q).sum() / (p | q).sum()) if (p | q).any() else 0.0 for p, q in zip(masks[a], masks[b])]
        pairs.append({"a": a, "b": b, "ab": ab, "ba": ba, "iou": iou,
                      "score": float(np.exp(-((ab + ba) / 2 / 1000) / 0.10))})
    twister = []
    for seed in (7, 0, 123456789, 2**32 - 1):
        np.random.seed(seed)
        draws = np.random.random(2000)
        twister.append({"seed": seed, "first": [float(x) for x in draws[:4]], "last": float(draws[-1])})
    sums = []
    for n in (1, 2, 7, 8, 9, 100, 127, 128, 129, 255, 1000, 1500, 3000):
        x = np.random.RandomState(n).random_sample(n) * 1000
        sums.append({"n": n, "mean": float(np.mean(x)), "p90": float(np.percentile(x, 90)), "p37": float(np.percentile(x, 37))})
    with open(path, "w") as f:
        json.dump({"made_by": VERSIONS, "meshes": out, "pairs": pairs, "twister": twister, "sums": sums}, f,
                  separators=(",", ":"))
        f.write("\n")


DEF = re.compile(r"^\s*def\s+\w+\s*\(", re.M)
VALUE = re.compile(r"^\s*[A-Za-z_][A-Za-z0-9_]*\s*=\s*[-+]?\d", re.M)
RETURN = re.compile(r"^\s*return\s+", re.M)
FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.S | re.I)
FIXTURE = re.compile(r"\bfixture\s*=")
THINK = re.compile(r"<think>.*?</think>", re.S)


def write_texts(path):
    rng = np.random.default_rng(SEED)
    words = ["def", "def ", "def f(", "def  größe (", "def\u3000x(", "def λ2\n(", "return", "return ", "return\n", "\treturn 5",
             "a = 5", "width=-3", "x\t=\n+2", "  y = ٣", "z==1", "3a = 1", "_b=.5", "é = 4", "é=4\n", "\n", "\n\n", "\r\n", "\r", " ",
             "\t", "\x1c", "\u00a0", "\u2028", "\x85", "# def g(", "(", ")", "fixture", "fixture =", "myfixture =", "éfixture=",
             "fixture\n=", "fixture==", "result", "chair", "show_object", "SEAT", "Back_Rest", "baclrest", "gas_cylinder",
             "\u212aING", "\u0130", "\u017f", "\U0001f600", "def a():\n return 1\n", "    depth = 12.5,\n"]
    hints = ["seat", "back_rest", "backrest", "king", "i", "six_leg"]
    texts = []
    for _ in range(400):
        t = "".join(words[k] for k in rng.integers(0, len(words), rng.integers(1, 25)))
        code = t.replace("\r\n", "\n").replace("\r", "\n")
        low = t.lower()
        texts.append({
            "text": t, "functions": len(DEF.findall(code)), "values": len(VALUE.findall(code)), "returns": len(RETURN.findall(code)),
            "final": any(w in t for w in ("show_object", "fixture", "result", "chair")), "fixture": bool(FIXTURE.search(t)),
            "hits": [h in low or h.replace("_", "") in low.replace("_", "") for h in hints],
            "stripped": t.strip(),
        })
    parts = ["```", "```python\n", "```py \n", "```PYTHON\t\n\n", "```text\n", "```\n", "import cadquery as cq\n", "x = 1\n", "prose ",
             "<think>", "</think>", "\n", "  ", "`", "\u2003", "```python3\n", "fixture = x"]
    fences = []
    for _ in range(400):
        t = "".join(parts[k] for k in rng.integers(0, len(parts), rng.integers(1, 12)))
        m = FENCE.search(t)
        plain = THINK.sub("", t)
        k = FENCE.search(plain)
        c = (k.group(1) if k else plain).strip()
        at = c.find("import cadquery as cq")
        fences.append({"text": t, "fenced": bool(m), "file": (m.group(1) if m else t).strip(),
                       "completion": c[at:] if at > 0 else c})
    with open(path, "w") as f:
        json.dump({"made_by": VERSIONS, "hints": hints, "texts": texts, "fences": fences}, f, separators=(",", ":"))
        f.write("\n")


def compare(n, library):
    import ctypes
    lib = ctypes.CDLL(library)
    rng = np.random.default_rng()
    bad = 0
    for i in range(n):
        x, y = random_triangle(rng, i)
        m = np.zeros((512, 8), dtype=np.uint64)
        lib.mask_triangle(m.ctypes.data_as(ctypes.c_void_p), (ctypes.c_int * 3)(*x), (ctypes.c_int * 3)(*y))
        ours = np.unpackbits(m.view(np.uint8).reshape(512, 64), axis=1, bitorder="little").astype(bool)
        if (ours != pillow_mask([(x, y)])).any():
            bad += 1
            print("differs:", x, y)
    print(f"{n} triangles, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit(compare(int(sys.argv[2]), sys.argv[3]))
    write_triangles(sys.argv[1] + "/triangles.txt")
    write_meshes(sys.argv[1] + "/mesh.json")
    write_texts(sys.argv[1] + "/text.json")

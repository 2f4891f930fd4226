#!/bin/sh
# Pages about logs that other trainers wrote, behind their verb.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
logs=$here/tests/data/logs
enter
CADFORGE_DB=$work/none.db

"$cadforge" report --log "$logs/debug-rows.jsonl" "$logs/trl-completions.jsonl" --out page > out 2> err &&
	grep -q '^page/index.html$' out && [ ! -e none.db ] && /usr/bin/python3 - > out 2> err << 'END'
import csv, glob, html.parser, json, re, xml.dom.minidom
files = sorted(glob.glob("page/*.svg"))
assert len(files) >= 5, files
for f in files:
    xml.dom.minidom.parse(f)
page = open("page/README.md").read()
named = set(re.findall(r"\]\(([^)]*)\)", page))
assert {f[5:] for f in files} <= named, named
rows = list(csv.DictReader(open("page/answers-1.csv")))
assert len(rows) == 40 and sum(r["built"] == "1" for r in rows) == 11, rows[:2]
steps = list(csv.DictReader(open("page/steps-1.csv")))
assert abs(sum(float(s["built"]) for s in steps) - 11) < 1e-9
mean = sum(float(r["reward"]) for r in rows if r["step"] == "3") / 4
assert abs(float(steps[2]["reward"]) - mean) < 1e-9, (steps[2], mean)
data = json.load(open("page/data.json"))
assert data["runs"][1]["built"] == [None] * 12, data["runs"][1]["built"]
class Look(html.parser.HTMLParser):
    open_ = []
    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe"), tag
        for name, value in attrs:
            assert name != "src" or value.startswith("data:"), value
            assert not name.startswith("on"), name
Look().feed(open("page/index.html").read())
END
claim $? "two logs on a page: curves, the rows behind them, what one of them lacks; it needs nothing from elsewhere"
printf 'PAR1\025\004' > parquet
expect 2 "Expected JSON lines" "$cadforge" report --log parquet --out other &&
	expect 2 "is a directory" "$cadforge" report --log "$logs" --out other && ! [ -e other ]
claim $? "what is no log is told"
expect 2 "nowhere.jsonl" "$cadforge" report --log nowhere.jsonl && expect 2 "the number of a run was expected" "$cadforge" report &&
	! [ -e report-log ]
claim $? "without a log nothing is made"
"$cadforge" report --log "$logs/trainer_state.json" --out page --json > out 2> err && grep -q '"html":"index.html"' out &&
	mkdir mine && echo mine > mine/README.md && expect 2 "no report of ours" "$cadforge" report --log "$logs/trainer_state.json" --out mine
claim $? "an earlier page is replaced, and nothing else is"
finish

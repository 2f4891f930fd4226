#!/bin/sh
# The web page of an episode: one file that needs nothing else, hostile texts in it, the part in 3D
# when its triangles are there or were pruned; and, where there is Chromium, opened in it
# (tests/e2e/page.py). Run by make check in the build folder; speaks TAP. make check-browser runs
# the same and fails without a browser: apt-get install chromium, or CHROMIUM=program.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
LC_ALL=C.UTF-8
export LC_ALL
need_python
enter

# an answer that wants out of its page, as program and as error
cat > bad.py << 'END'
import cadquery as cq
evil = "</script></pre><script>document.title = 'slipped'</script><img src=x onerror=\"document.title='slipped'\">"
END
printf '# \342\200\256 reversed \342\201\246 isolated \033[2J\033]0;title\007\nx = {}[evil]\n' >> bad.py
cat > a.py << 'END'
import cadquery as cq

size = 10.0
fixture = cq.Workplane().box(size, 20, 5).faces(">Z").workplane().hole(4)
END
sed 's/size = 10.0/size = 14.0  # "wider" <b>\&amp;/' a.py > b.py
"$cadforge" run wall_j_hook_120n --from bad.py a.py b.py --profile seed-fast --no-gain 0 --quiet > out 2>&1
"$cadforge" judge 1.2 --grade 4 --note 'neat <i>hook</i>' --as "o'neil" --quiet > out 2>&1
"$cadforge" show 1.3 > out 2>&1
claim $? "there is an episode of three turns"

"$cadforge" export 1 page.html > out 2> err
[ $? -eq 0 ] && [ "$(find . -name 'page*' | wc -l)" -eq 1 ] && grep -q '^</html>$' page.html
claim $? "its page is one file"
"$cadforge" export 1 again.html --quiet && cmp -s page.html again.html && "$cadforge" export 1 - --html > stdout.html && cmp -s page.html stdout.html
claim $? "of the same bytes each time, also on standard output"
[ "$(grep -c '<script' page.html)" -eq 2 ] && [ "$(grep -c 'data:model/gltf-binary;base64,Z2xURg' page.html)" -eq 2 ] &&
	! grep -q -e '<img src=x' -e '<i>hook' -e '<b>&amp;' page.html && grep -q '# \\u202e reversed \\u2066 isolated \\x1b\[2J' page.html && grep -q 'KeyError: .*&lt;/script&gt;' page.html
claim $? "texts of strangers are shown, with what is hidden in them, and two parts are in it"
! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]')" page.html
claim $? "no control character is in it"
grep -q "<li>o'neil: 4 of 5 - neat &lt;i&gt;hook" page.html
claim $? "what people said of a turn is in it"
! grep -q -i -e 'https\?:' -e '[^:]//[a-z]*\.' -e "$work" page.html
claim $? "it names nothing outside itself"
[ "$(wc -c < page.html)" -lt 600000 ]
claim $? "it is small: $(wc -c < page.html) bytes"

# what was pruned: the triangles alone come back from the shape; without that it says so
cp sessions.db pruned.db
"$cadforge" db prune --episode 1 --best-too --kind stl --db pruned.db --quiet > out 2>&1 &&
	"$cadforge" export 1 mesh.html --db pruned.db --quiet 2> err && [ "$(grep -c 'data:model/gltf-binary;base64,Z2xURg' mesh.html)" -eq 2 ]
claim $? "a part whose triangles were pruned is made of its BREP"
"$cadforge" db prune --episode 1 --best-too --kind brep --db pruned.db --quiet > out 2>&1 &&
	"$cadforge" export 1 mesh.html --db pruned.db --quiet 2> err && [ "$(grep -c 'data:model/gltf-binary;base64,Z2xURg' mesh.html)" -eq 2 ]
claim $? "and without that of its STEP"
CADFORGE_LIBEXEC=/nonexistent "$cadforge" export 1 mesh.html --db pruned.db --quiet 2> err && grep -q 'could not be made into triangles' mesh.html
claim $? "where there is no scorer the page says why there is no 3D view"
"$cadforge" db prune --episode 1 --best-too --db pruned.db --quiet > out 2>&1 &&
	"$cadforge" export 1 bare.html --db pruned.db --quiet 2> err && grep -q 'No 3D view. Its shape is not stored any more' bare.html &&
	! grep -q 'data:model' bare.html
claim $? "one whose shape was pruned says why it is not there"
"$cadforge" export 1 2 two.html > out 2> err
[ $? -eq 2 ] && [ ! -e two.html ]
claim $? "two episodes are no page"

chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
if [ -z "$chromium" ]; then
	if [ -n "${CADFORGE_BROWSER:-}" ]; then
		claim 1 "there is a browser: apt-get install chromium, or CHROMIUM=program"
	else
		skip "the page in a browser" "no chromium here (apt-get install chromium; make check-browser)"
	fi
else
	/usr/bin/python3 "$here/tests/e2e/page.py" "$chromium" page.html ${CADFORGE_SHOTS:+"$CADFORGE_SHOTS"} > claims 2> err
	status=$?
	while read -r line; do
		case $line in
		"ok "*) claim 0 "in the browser: ${line#ok }" ;;
		"not ok "*) claim 1 "in the browser: ${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done < claims
	[ $status -eq 0 ] || sed 's/^/# /' err
	claim $status "the browser was there to the end"
fi
finish

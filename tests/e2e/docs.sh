#!/bin/sh
# The manual, the completion and the news say what the program does.
# Run by make check in the build folder; speaks TAP.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
page=$srcdir/man/cadforge.1
verbs=$(./cadforge --help | sed -n 's/^  \([a-z][a-z-]*\)  *[a-z].*/\1/p')

if command -v mandoc > /dev/null; then
	for p in "$srcdir"/man/*.[1-9]; do
		said=$(mandoc -T lint -W warning "$p")
		claim $? "${p##*/} passes mandoc's lint${said:+: $said}"
	done
	for verb in $verbs; do
		text="every option of $verb --help is in the manual page"
		options=$(./cadforge $verb --help | grep -oE -e '--[a-z][a-z-]*' | sort -u)
		# A page rendered without line breaks inside words; mdoc writes the dashes.
		mandoc -T utf8 -O width=1000 "$page" | sed 's/.\x08//g' > "$work/page"
		lacks=
		for option in $options; do
			grep -qE -e "$option([^a-z-]|\$)" "$work/page" || lacks="$lacks $option"
		done
		[ -n "$options" ] && [ -z "$lacks" ]
		claim $? "$text${lacks:+: not$lacks}"
	done
	options=$(./cadforge train grpo --help | grep -oE -e '--[a-z][a-z-]*' | sort -u)
	lacks=
	for option in $options; do
		grep -qE -e "$option([^a-z-]|\$)" "$work/page" || lacks="$lacks $option"
	done
	[ -n "$options" ] && [ -z "$lacks" ]
	claim $? "every setting of train grpo is in the manual page${lacks:+: not$lacks}"
	rm -f "$work/page"
else
	skip "the manual page passes mandoc's lint" "mandoc is not installed"
	skip "every option is in the manual page" "mandoc is not installed"
fi

lacks=
for kind in $(grep -o '"check_[a-z_]*"' "$srcdir/tasks/task.schema.json" | sort -u | sed 's/"check_\(.*\)"/\1/'); do
	grep -q "^\.It Cm $kind\$" "$srcdir/man/cadforge-tasks.5" || lacks="$lacks $kind"
done
[ -z "$lacks" ]
claim $? "every kind of check is in cadforge-tasks.5${lacks:+: not$lacks}"

version=$(./cadforge --version | sed -n '1s/^cadforge \([0-9.]*\).*/\1/p')
[ -n "$version" ] && grep -q "^$version (" "$srcdir/NEWS"
claim $? "the news know version $version"

if command -v bash > /dev/null; then
	offers() { # offers WORD...: what the completion offers for the last word
		PATH="$PWD:$PATH" bash -c '
			. "$1"; shift
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _cadforge 2> /dev/null
			printf "%s\n" "${COMPREPLY[@]}"' bash "$srcdir/completions/cadforge" cadforge "$@"
	}
	[ "$(offers sc)" = score ]
	claim $? "the completion finishes a verb"
	[ "$(offers score --task four)" = four_leg_chair_700n ]
	claim $? "the completion finishes a task"
	[ "$(offers score --task = four)" = four_leg_chair_700n ]
	claim $? "the completion finishes a task after an equals sign"
	[ "$(offers tasks show office)" = office_chair ]
	claim $? "the completion finishes the words of a verb"
	[ "$(offers prompts show def)" = default ]
	claim $? "the completion finishes a prompt set"
	[ "$(offers score --prof)" = --profile ]
	claim $? "the completion finishes an option that the program has"
else
	skip "the completion finishes words" "bash is not installed"
fi
# ---- the README's tour ----
tour=$work
sed -n '/^## The workbench/,/^## A part/p' "$srcdir/README.md" | grep -o '`:[^`]*`' | tr -d '`' |
	grep -v '^:save-screen' > "$tour/commands"
while IFS= read -r line; do
	printf '%s\n:save-screen %s\n' "$line" "$tour/screen" > "$tour/script"
	LC_ALL=C.UTF-8 TERM=xterm XDG_STATE_HOME=$tour CADFORGE_DB=$tour/x.db \
		./cadforge --script "$tour/script" --size 120x30 > /dev/null 2>&1 < /dev/null
	! [ -s "$tour/screen" ] || grep -q 'is no command here' "$tour/screen" && echo "$line"
done < "$tour/commands" > "$tour/unknown"
[ -s "$tour/commands" ] && [ ! -s "$tour/unknown" ]
claim $? "the workbench knows every command of the README's tour"
sed 's/^/# /' "$tour/unknown"
finish

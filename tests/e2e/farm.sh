#!/bin/sh
# Workers on other machines, with the real programs and a real Redis on this one: the same bytes
# wherever a score is made or an answer drawn, wrong passwords, workers that leave. Run by make
# check in the build folder; speaks TAP. make check-farm has more: "farm.sh whole", also the
# published profile, an episode with its shapes and pictures, and trainings; "farm.sh faults", a
# minute of machines that fail: killed, frozen past a lease, cut off for five seconds, Redis killed
# and started again.
: "${srcdir:=.}"
. "$srcdir/tests/e2e/lib.sh"
need_python
server=/usr/bin/redis-check-rdb # Debian's redis-tools: the server under another name
if [ ! -x $server ] || ! command -v redis-cli > /dev/null; then
	skip_all "no Redis server here: apt-get install redis-tools"
fi
pids="" space=""
cleanup() {
	for p in $pids; do kill -9 "$p" 2> /dev/null; done
	[ -z "$space" ] || ip netns del "$space" 2> /dev/null
}
shown="out err worker.*"
enter
CADFORGE_QUEUE_PASSWORD=open-sesame
export CADFORGE_QUEUE_PASSWORD
unset TMPDIR

port=$((20000 + $$ % 20000)) redis=""
ask() { REDISCLI_AUTH=$CADFORGE_QUEUE_PASSWORD redis-cli -p "$port" "$@" 2> /dev/null; }
redis_start() { # its words after the usual ones
	bash -c 'exec -a redis-server "$@"' bash $server --port "$port" --dir "$work" --save "" \
		--requirepass "$CADFORGE_QUEUE_PASSWORD" --appendonly yes --bind 0.0.0.0 > redis.log 2>&1 &
	redis=$!
	pids="$pids $redis"
	until [ "$(ask ping)" = PONG ]; do
		kill -0 $redis 2> /dev/null || return 1
	done
}
# until SECONDS COMMAND...: tried again until it is true
until_true() {
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt $end ] || return 1
		perl -e 'select undef, undef, undef, 0.1'
	done
}
worker=0
worker_start() { # HOST FLAGS...: at the queue there; its number is $worker, its id $last
	worker=$((worker + 1)) host=$1
	shift
	${space_exec:-} "$cadforge" worker --queue "redis://$host:$port" --jobs 1 "$@" > worker.$worker 2>&1 &
	last=$!
	pids="$pids $last"
}
joined() { grep -qs 'takes jobs from' worker.$1; }
# what is not the same from run to run is in seconds alone
plain() { sed -E 's/"(seconds|generate_s|score_s)":(\{[^}]*\}|[0-9.e+-]+|null)/"\1":0/g' "$1"; }
# an evaluation by the demonstration model: its items and figures, numbers of episodes left out
demo=$here/gpu/demo
model="--model $demo/base --backend cpu --threads 1"
evaluate() { # DB FLAGS...
	db=$1
	shift
	CADFORGE_DB=$work/$db "$cadforge" eval --pack held --adapter "$demo/sft" --model "$demo/base" --threads 1 --seeds 2 --temperature 0.7 \
		--profile seed-fast --light --json "$@" > told 2> err && plain told | sed 's/"episode":[0-9]*//g'
}
part() { # part FROM TO PROMPT: under another id and in other words
	mkdir -p held/references
	printf '{"format": "cadforge-pack-1", "name": "held", "about": "Parts that nobody learnt."}\n' > held/pack.json
	sed -e "s/\"id\": \"$1\"/\"id\": \"$2\"/" -e "s/\"prompt\": \"[^\"]*\"/\"prompt\": \"$3\"/" \
		-e "s,references/$1.py,references/$2.py," "$CADFORGE_TASKS/cadforge/$1.json" > "held/$2.json"
	cp "$CADFORGE_TASKS/cadforge/references/$1.py" "held/references/$2.py"
}
part wall_j_hook_120n coat_hook "A hook to hang coats from: one plate on the wall, and below it an arm in the shape of the letter J."
part four_leg_chair_700n kitchen_chair "For a kitchen: a flat seat on four legs with bars between them, and behind it a back to lean against."
# requests that were answered by how many workers with a model
drew() {
	"$cadforge" worker --list --queue "$queue" --json > list 2> err &&
		[ "$(grep '"model":"demo"' list | grep -c '"jobs":[1-9]')" -ge "$1" ]
}
queue=redis://127.0.0.1:$port
requests() { ask --raw smembers cadforge:streams | grep 'jobs\.'; } # the stream of those for a model
drawn() { [ "$(ask xpending "$(requests)" workers | head -n 1)" -ge "$1" ] 2> /dev/null; }

if ! redis_start; then
	echo "1..0 # SKIP no Redis server can be started here: $(tail -n 1 redis.log)"
	exit 0
fi

if [ "${1:-}" != faults ]; then
	whole=false
	[ "${1:-}" = whole ] && whole=true
	worker_start 127.0.0.1 $model --slots 2
	one=$last
	worker_start 127.0.0.1 $model --slots 2
	two=$last
	until_true 60 joined 1 && until_true 60 joined 2
	claim $? "workers join, and say what they are made of"

	chair=$here/tasks/examples/chair.py
	set -- --task four_leg_chair_700n "$chair" "$here/tasks/examples/chair-misspelt.py"
	"$cadforge" score "$@" --json > near 2> err
	"$cadforge" score "$@" --json --queue "$queue" > out 2> err
	[ $? -eq 1 ] && ! grep -q 'no worker' err
	claim $? "scores of a farm have the exit status of scores made here"
	plain near > near.plain && plain out > out.plain
	[ "$(grep -c '"total"' out)" -eq 2 ] && cmp -s near.plain out.plain
	claim $? "exact scores are the same bytes wherever they were made"
	if $whole; then
		"$cadforge" score "$@" --json --profile seed-fast --reference seed-task > near 2> err
		"$cadforge" score "$@" --json --profile seed-fast --reference seed-task --queue "$queue" > out 2> err
		plain near > near.plain && plain out > out.plain
		[ "$(grep -c '"total"' out)" -eq 2 ] && cmp -s near.plain out.plain
		claim $? "and so are published ones"

		"$cadforge" run four_leg_chair_700n --quiet --json --queue "$queue" --from "$chair" > out 2> err &&
			"$cadforge" run four_leg_chair_700n --quiet --json --from "$chair" > near 2> err
		# numbers of the episode and times aside
		plain near | sed 's/"episode":[0-9]*//' > near.plain && plain out | sed 's/"episode":[0-9]*//' > out.plain
		grep -q '"total"' out && cmp -s near.plain out.plain
		claim $? "an episode over the queue has the scores of one played here"
		"$cadforge" export 1 far > out 2> err && "$cadforge" export 2 close > out 2> err &&
			(cd far && find . -name '*.stl' -o -name '*.brep' -o -name '*.step' -o -name '*.png' | sort) > far.list &&
			(cd close && find . -name '*.stl' -o -name '*.brep' -o -name '*.step' -o -name '*.png' | sort) > close.list &&
			[ -s far.list ] && cmp -s far.list close.list
		claim $? "with the same shapes and pictures"
	fi

	table() { # a worker says it once a second
		"$cadforge" worker --list --queue "$queue" --json > out 2> err &&
			grep -q '"state":"\(live\|busy\)"' out && grep -q '"jobs":[1-9]' out && grep -q '"median_s":[0-9]' out
	}
	until_true 10 table
	claim $? "the table of workers says what they did and what it took"

	grep -q 'draws answers with demo' worker.1 && evaluate far.db --max-tokens 160 --queue "$queue" > out &&
		grep -q 'answers come from workers' err && evaluate near.db --max-tokens 160 > near &&
		[ "$(grep -c '"task"' out)" -ge 4 ] && cmp -s near out
	claim $? "an evaluation whose answers are drawn by workers has the results of one made here"
	until_true 10 drew 2
	claim $? "by both of them"
	CADFORGE_DB=$work/none.db "$cadforge" eval --pack held --model "$demo/base" --dtype int8 --seeds 1 --backend queue --queue "$queue" > out 2> err
	[ $? -ne 0 ] && grep -q 'no worker at .* has the model .* as it is asked for (int8' err && grep -q 'demo (.*cpu as stored' err
	claim $? "of a model that no worker has it is said which there are"
	if $whole; then
		run_model() { # DB FLAGS...
			db=$1
			shift
			CADFORGE_DB=$work/$db "$cadforge" run four_leg_chair_700n --quiet --json --model "$demo/base" --adapter "$demo/sft" --threads 1 \
				--profile seed-fast --temperature 0.7 --seed 5 --max-tokens 300 --turns 2 --group 6 "$@" > told 2> err
			plain told | sed 's/"episode":[0-9]*//'
		}
		run_model far.db --queue "$queue" --backend queue > out && run_model near.db > near && [ -s out ] && cmp -s near out
		claim $? "and so has an episode whose groups are drawn by workers"
		CADFORGE_DB=$work/left.db "$cadforge" eval --pack held --model "$demo/base" --threads 1 --seeds 16 --temperature 1.5 \
			--max-tokens 3500 --profile seed-fast --light --queue "$queue" > out 2> err &
		asker=$!
		until_true 20 drawn 3 && kill -TERM $asker && wait $asker
		[ $? -eq 130 ] && until_true 2 eval '[ "$(ask xlen "$(requests)")" -eq 0 ]' && until_true 10 eval '! drawn 1'
		claim $? "what nobody waits for any more is taken back, and stopped where it is under way"
		learn() { # DB FLAGS...
			CADFORGE_DB=$work/$1 "$cadforge" train grpo --model "$demo/base" --adapter none --threads 1 --rank 4 --lr 1e-3 --seed 6 --prompts 1 \
				--members 3 --steps 3 --save-every 1 --task wall_j_hook_120n --max-tokens 200 --eval-every -1 --reward dense "$2" "$3" \
				--out "$4" ${5:+"$5"} ${6:+"$6"}
		}
		learn far.db --backend auto learnt-far --queue "$queue" > out 2> err &
		learner=$!
		until_true 60 [ -d learnt-far/checkpoint-000001 ]
		kill -9 "$(child_of $learner 'train grpo')" 2> /dev/null
		wait $learner 2> /dev/null
		until_true 10 flock -n learnt-far/lock true
		run=$(CADFORGE_DB=$work/far.db "$cadforge" runs --json 2> err | grep '"kind":"grpo"' | sed 's/.*"run":\([0-9]*\).*/\1/')
		CADFORGE_DB=$work/far.db "$cadforge" train resume "$run" --queue "$queue" > out 2> err &&
			learn near.db --backend cpu learnt-near > out 2> err &&
			cmp -s learnt-far/policy/000003/adapter_model.safetensors learnt-near/policy/000003/adapter_model.safetensors
		claim $? "a training over the queue, killed and gone on with, learns what one does here"
	fi

	CADFORGE_QUEUE_PASSWORD=wrong "$cadforge" score "$@" --queue "$queue" > out 2> err
	[ $? -eq 2 ] && grep -q 'does not let us in: WRONGPASS' err && ! grep -q 'wrong"' err
	claim $? "a wrong password is told at once"
	"$cadforge" score "$@" --queue http://nowhere > out 2> err
	[ $? -eq 2 ] && grep -q 'redis://HOST' err
	claim $? "an address that is none is told"

	kill -TERM $one $two
	until_true 10 eval "! kill -0 $one 2> /dev/null && ! kill -0 $two 2> /dev/null"
	claim $? "workers that are asked to leave"
	"$cadforge" worker --list --queue "$queue" > out 2> err && [ "$(grep -c ' gone ' out)" -eq 4 ]
	claim $? "and the table says so, of their models too"
	echo "1..$n"
	exit $bad
fi

# ---- machines that fail ----

printf 'import cadquery as cq\nn = NUMBER\nwhile True:\n    n += 1\n' > endless
for i in 1 2 3; do sed "s/NUMBER/$i/" endless > endless$i.py; done
under_way() { [ "$(ask xpending cadforge:jobs:14000 workers | head -n 1)" = "$1" ]; }
score() { "$cadforge" score --task none --wall 4 --cpu 60 --quiet --json --queue "$queue" "$@"; }

text="a worker cut off for five seconds finishes what it had"
if [ "$(id -u)" -eq 0 ] && command -v ip > /dev/null && ip netns add "cadforge$$" 2> /dev/null; then
	space=cadforge$$
	ip link add "cf$$" type veth peer name inside netns "$space" &&
		ip addr add 10.231.77.1/30 dev "cf$$" && ip link set "cf$$" up &&
		ip -n "$space" addr add 10.231.77.2/30 dev inside && ip -n "$space" link set inside up
	space_exec="ip netns exec $space"
	worker_start 10.231.77.1
	space_exec=""
	cut=$worker
	until_true 40 joined $cut
	score endless3.py > cut.out 2> err &
	scorer=$!
	until_true 20 under_way 1
	ip link set "cf$$" down
	perl -e 'select undef, undef, undef, 5'
	ip link set "cf$$" up
	wait $scorer
	grep -q '"cause":"wall_limit"' cut.out && [ "$(wc -l < cut.out)" -eq 1 ]
	claim $? "$text"
	kill -9 $last 2> /dev/null
else
	skip "$text" "network namespaces want root and ip(8)"
fi

# answers under way: three at two workers, of which one is killed; then at none, until another comes
worker_start 127.0.0.1 $model --slots 2
first=$last a=$worker
worker_start 127.0.0.1 $model --slots 2
second=$last
until_true 60 joined $a && until_true 60 joined $worker
evaluate killed.db --max-tokens 1200 --queue "$queue" > killed.out &
asker=$!
until_true 30 drawn 3
kill -9 $first
until_true 60 eval '"$cadforge" worker --list --queue "$queue" --json | grep -q "\"taken_over\":[1-9]"'
claim $? "requests of a worker that was killed in mid-answer are taken over"
kill -9 $second
until_true 60 grep -q 'no worker that can do it is at' err
claim $? "when nobody is left to answer it is told"
worker_start 127.0.0.1 $model
third=$last
wait $asker
cp killed.out out
evaluate near.db --max-tokens 1200 > near && [ "$(grep -c '"task"' near)" -ge 4 ] && cmp -s near killed.out
claim $? "and nothing is lost or another than it would have been"
kill -9 $third

worker_start 127.0.0.1
killed=$last
a=$worker
worker_start 127.0.0.1
frozen=$last
until_true 40 joined $a && until_true 40 joined $worker
score endless1.py endless2.py > out 2> err &
scorer=$!
until_true 20 under_way 2
claim $? "two workers have a job each"
kill -9 $killed
kill -STOP $frozen
worker_start 127.0.0.1
other=$last
wait $scorer
[ "$(grep -c '"cause":"wall_limit"' out)" -eq 2 ] && [ "$(wc -l < out)" -eq 2 ]
claim $? "jobs of a worker that was killed and of one that froze past its lease are taken over"
kill -CONT $frozen
"$cadforge" worker --list --queue "$queue" --json > out 2> err
[ "$(grep -o '"taken_over":[0-9]*' out | sort | tail -n 1)" = '"taken_over":2' ]
claim $? "both by the third"

sed "s/NUMBER/4/" endless > endless4.py
score endless4.py "$here/tasks/examples/chair.py" > out 2> err &
scorer=$!
until_true 20 eval 'ask xpending cadforge:jobs:14000 workers | head -n 1 | grep -q "[1-9]"'
kill -9 $redis
wait $redis 2> /dev/null
redis_start
claim $? "Redis is killed and started again"
wait $scorer
[ "$(grep -c '"cause":"wall_limit"' out)" -eq 1 ] && [ "$(grep -c '"built":true\|"ok":true' out)" -ge 1 ] && [ "$(wc -l < out)" -eq 2 ]
claim $? "and every job under way is answered, once"
kill -0 $other && kill -0 $frozen
claim $? "the workers go on"

sed "s/NUMBER/5/" endless > endless5.py
"$cadforge" score --task none --wall 60 --cpu 60 --quiet --json --queue "$queue" endless5.py > out 2> err &
pids="$pids $!"
until_true 20 eval '[ "$(ask xpending cadforge:jobs:70000 workers | head -n 1)" = 1 ]'
kill -9 $redis
kill -TERM $other $frozen
until_true 25 eval "! kill -0 $other 2> /dev/null && ! kill -0 $frozen 2> /dev/null"
claim $? "a worker that is asked to leave does, though nobody is there to take its answer"
finish

#!/bin/sh
# slot.sh - everything there is to learn from a device, in the order of worst surprise first
# (cuda.md, section 13), in one command. One line a figure; what fails is told and the rest goes on,
# but for a kernel that computes wrong, after which figures would mean nothing.
#
#   slot.sh [--check | --train] [FOLDER]     FOLDER holds the programs [bin beside this script]
#
# --check: steps 1 and 2 alone (make check-gpu). --train: what training has of each step, and nothing else. OUT: where
# logs go [./gpu-out]. CADFORGE_SHARED: the folder with oracle/ [shared beside this script]. Exit 0: all right, or no
# device (said in words).
set -u
here=$(cd "$(dirname "$0")" && pwd)
check=
train=
tests="t_prefill_device t_k_decode_device t_cuda_device t_k_train_device t_train_cuda_device"
[ "${1:-}" = --check ] && { check=1; shift; }
[ "${1:-}" = --train ] && { train=1 tests="t_k_train_device t_train_cuda_device"; shift; }
bin=${1:-$here/bin}
OUT=${OUT:-gpu-out}
mkdir -p "$OUT"
[ -d "$here/lib" ] && LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && export LD_LIBRARY_PATH
for d in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
	[ -d "$d" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$d && export LD_LIBRARY_PATH
done
[ -z "${CADFORGE_SHARED:-}" ] && [ -d "$here/shared/oracle" ] && CADFORGE_SHARED=$here/shared && export CADFORGE_SHARED

failed=0
# step NAME SECONDS PROGRAM ARGS: its lines, and one that says how it ended
step() {
	name=$1 seconds=$2
	shift 2
	start=$(date +%s)
	timeout "$seconds" "$@" >"$OUT/$name.log" 2>&1
	code=$?
	case $code in
	0) word=ok ;;
	77) word=skipped ;;
	124) word="NOT DONE in $seconds s" ;;
	*) word="FAILED ($code)" ;;
	esac
	echo "== $name: $word, $(($(date +%s) - start)) s"
	return $code
}

# 1. the device
if command -v nvidia-smi >/dev/null 2>&1; then
	nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current,memory.total \
		--format=csv >"$OUT/device.log" 2>&1 && cat "$OUT/device.log"
fi

# 2. is it right? First differences are in the logs.
for t in $tests; do
	step "$t" 300 "$bin/$t"
	case $? in
	0) grep -c '\[       OK \]' "$OUT/$t.log" | sed "s/^/$t passed /"
		grep -i 'skipped' "$OUT/$t.log" | sort -u ;;
	77) tail -n 2 "$OUT/$t.log" ;;
	*)
		failed=1
		grep -E 'ERROR:|error [0-9]|FAILED|Segmentation|failed' "$OUT/$t.log" | head -n 20
		;;
	esac
done
log=$OUT/t_cuda_device.log
[ -n "$train" ] && log=$OUT/t_train_cuda_device.log
if grep -qs 'no CUDA device' "$log"; then
	echo "slot: skipped: $(grep -m 1 'no CUDA device' "$log")"
	exit 0
fi
if [ "$failed" != 0 ]; then
	echo "slot: kernels or the backend compute wrong: no figures"
	command -v compute-sanitizer >/dev/null 2>&1 &&
		step memcheck 300 compute-sanitizer --tool memcheck "$bin/t_prefill_device" &&
		tail -n 30 "$OUT/memcheck.log"
	exit 1
fi
if command -v compute-sanitizer >/dev/null 2>&1 && [ -z "$check$train" ]; then
	for tool in memcheck racecheck; do
		for t in t_prefill_device t_k_train_device; do
			step "$tool-$t" 120 compute-sanitizer --tool "$tool" "$bin/$t"
			grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$OUT/$tool-$t.log"
		done
	done
fi
[ -n "$check" ] && exit 0

if [ -z "$train" ]; then
	# 3. sweep, launch gaps, each stage alone
	step bench_kernels 400 "$bin/bench_kernels_device"
	cat "$OUT/bench_kernels.log"
	# 4 and 5. whole models: decode, group, prefill, adapters
	for model in 2b 9b; do
		step "bench_$model" 400 "$bin/bench_cuda_device" $model
		cat "$OUT/bench_$model.log"
	done
fi
# 5. training: passes, updates, a layer of each kind and its products alone
for model in 2b 9b; do
	step "bench_train_$model" 300 "$bin/bench_train_cuda_device" $model
	cat "$OUT/bench_train_$model.log"
done
# 6. profiles, where the tools are
if command -v nsys >/dev/null 2>&1 && [ -n "$train" ]; then
	step nsys 200 nsys profile -o "$OUT/train" --force-overwrite true "$bin/bench_train_cuda_device" 2b
	nsys stats --report cuda_gpu_kern_sum "$OUT/train.nsys-rep" 2>/dev/null | head -n 40
elif command -v nsys >/dev/null 2>&1; then
	step nsys 200 nsys profile -o "$OUT/decode" --force-overwrite true --cuda-graph-trace=node "$bin/bench_cuda_device" 2b
	nsys stats --report cuda_gpu_kern_sum "$OUT/decode.nsys-rep" 2>/dev/null | head -n 30
fi
exit 0

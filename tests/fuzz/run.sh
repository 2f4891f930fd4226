#!/bin/sh
# run.sh - builds the fuzz targets and runs each for FUZZ_SECONDS (60); called by `make check-fuzz`.
#
# With clang: libFuzzer, ASan, UBSan. Without: tests/fuzz/driver.c, ASan and UBSan of CC. The BREP target
# forks and limits its children's memory, which ASan does not survive: always the driver, never ASan.
# From the environment: srcdir CC CXX CPPFLAGS LIBS OCCT_CPPFLAGS OCCT_LIBS FUZZ_SECONDS FUZZ_SEED FUZZ_TARGETS
set -eu
: "${srcdir:=.}" "${CC:=cc}" "${CXX:=c++}" "${FUZZ_SECONDS:=60}" "${FUZZ_SEED:=1}"
: "${FUZZ_TARGETS:=stl glb frame json task jsonl transcript episode job redis openenv serve reference safetensors config adapter tokenizer chat sse dataset settings brep}" "${CPPFLAGS:=}" "${LIBS:=-lcjson -lnettle -lpcre2-8 -lutf8proc -lpthread}" "${PNG_LIBS:=-lpng}"
: "${OCCT_CPPFLAGS:=}" "${OCCT_LIBS:=}" "${CLANG:=clang}"
out=fuzz-build
mkdir -p "$out"
flags="-g -O1 -std=gnu11 -D_GNU_SOURCE -I$srcdir -I. $CPPFLAGS"
base="err buf json frame utf8"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# is there a clang that links libFuzzer?
libfuzzer=no
echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { (void)p; (void)n; return 0; }' > "$out/try.c"
if "$CLANG" -fsanitize=fuzzer,address "$out/try.c" -o "$out/try" 2> /dev/null; then
	libfuzzer=yes
fi

sources() {
	for m in $base; do echo "$srcdir/src/base/$m.c"; done
	case $1 in
	stl | glb) echo "$srcdir/engine/$1.c" "$srcdir/engine/mesh.c" ;;
	sse) echo "$srcdir/gpu/sse.c" "$srcdir/gpu/think.c" ;;
	job) echo "$srcdir/src/job.c" "$srcdir/engine/limits_json.c" "$srcdir/src/base/sha256.c" ;;
	redis)
		for m in src/redis src/queue src/queue_worker src/base/sha256 src/base/clock; do echo "$srcdir/$m.c"; done
		;;
	openenv) echo "$srcdir/src/openenv.c" ;;
	serve)
		for m in serve serve_http serve_rpc serve_log serve_net openenv; do echo "$srcdir/src/$m.c"; done
		for m in task checks; do echo "$srcdir/engine/$m.c"; done
		for m in clock sha256; do echo "$srcdir/src/base/$m.c"; done
		;;
	jsonl) echo "$srcdir/src/jsonl.c" "$srcdir/engine/extract.c" "$srcdir/engine/text.c" ;;
	transcript) echo "$srcdir/src/transcript.c" "$srcdir/src/jsonl.c" ;;
	episode)
		echo "$srcdir"/src/store*.c "$srcdir/src/episode_read.c" "$srcdir/src/base/sha256.c" "$srcdir/src/base/clock.c"
		;;
	reference)
		for m in exact_reference exact_match nearest voxel mesh topology silhouette mt19937 numeric; do
			echo "$srcdir/engine/$m.c"
		done
		;;
	safetensors) echo "$srcdir/gpu/safetensors.c" ;;
	tokenizer | chat)
		for m in tokenizer tokenizer_read bpe pretokenize unicode; do echo "$srcdir/gpu/$m.c"; done
		echo "$srcdir/src/base/clock.c"
		[ "$1" = tokenizer ] || echo "$srcdir/gpu/chat.c" "$srcdir/gpu/chat_default.c"
		;;
	dataset)
		for m in dataset tokenizer tokenizer_read bpe pretokenize unicode chat chat_default; do
			echo "$srcdir/gpu/$m.c"
		done
		echo "$srcdir/src/base/clock.c" "$srcdir/src/base/sha256.c"
		;;
	settings)
		echo "$srcdir/gpu/train_settings.c" "$srcdir/gpu/optimizer.c" "$srcdir/gpu/config.c" \
			"$srcdir/src/base/sha256.c"
		;;
	config) echo "$srcdir/gpu/config.c" ;;
	adapter)
		echo "$srcdir/gpu/lora.c" "$srcdir/gpu/config.c" "$srcdir/gpu/safetensors.c" "$srcdir/src/base/sha256.c" "$srcdir/src/base/folder.c"
		;;
	task) echo "$srcdir/engine/task.c" "$srcdir/engine/checks.c" "$srcdir/src/base/sha256.c" ;;
	esac
	echo "$srcdir/tests/fuzz/fuzz_$1.c"
}

# all of the engine but the programs and what only they need: a module less is a link that fails
build_brep() {
	for f in "$srcdir"/engine/*.c "$srcdir"/src/base/err.c "$srcdir"/src/base/buf.c "$srcdir"/src/base/json.c \
		"$srcdir"/src/base/frame.c "$srcdir"/src/base/utf8.c "$srcdir"/src/base/clock.c "$srcdir"/src/base/sha256.c \
		"$srcdir"/tests/fuzz/driver.c "$srcdir"/tests/fuzz/fuzz_brep.c; do
		case $f in */*_main.c | */python.c | */nursery.c | */sandbox.c | */serve.c | */pool*.c) continue ;; esac
		# shellcheck disable=SC2086
		$CC $flags -c "$f" -o "$out/$(basename "$f" .c).o"
	done
	for f in "$srcdir"/engine/*.cc; do
		case $f in */wheel.cc) continue ;; esac
		# shellcheck disable=SC2086
		$CXX -g -O1 -std=gnu++17 -D_GNU_SOURCE -I"$srcdir" -I. $OCCT_CPPFLAGS -idirafter "$srcdir/engine/occt" \
			-c "$f" -o "$out/$(basename "$f" .cc)_cc.o"
	done
	# shellcheck disable=SC2086
	$CXX -o "$out/fuzz_brep" "$out"/*.o $OCCT_LIBS $PNG_LIBS $LIBS -lm
}

failed=0
for t in $FUZZ_TARGETS; do
	corpus=$srcdir/tests/fuzz/corpus/$t
	rm -rf "$out/new-$t"
	mkdir -p "$out/new-$t"
	echo "fuzz $t: $FUZZ_SECONDS s"
	if [ "$t" = brep ]; then
		rm -f "$out"/*.o
		build_brep
		case $corpus in /*) ;; *) corpus=$PWD/$corpus ;; esac
		(cd "$out" && ./fuzz_brep "$FUZZ_SECONDS" "$FUZZ_SEED" "$corpus") || failed=$((failed + 1))
	elif [ "$libfuzzer" = yes ]; then
		# shellcheck disable=SC2046,SC2086
		"$CLANG" $flags -fsanitize=fuzzer $sanitize $(sources "$t") -o "$out/fuzz_$t" $LIBS -lm
		"$out/fuzz_$t" -max_total_time="$FUZZ_SECONDS" -seed="$FUZZ_SEED" -max_len=65536 -timeout=10 \
			-rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -artifact_prefix="$out/crash-$t-" \
			"$out/new-$t" "$corpus" || failed=$((failed + 1))
	else
		# shellcheck disable=SC2046,SC2086
		$CC $flags $sanitize $(sources "$t") "$srcdir/tests/fuzz/driver.c" -o "$out/fuzz_$t" $LIBS -lm
		case $corpus in /*) ;; *) corpus=$PWD/$corpus ;; esac
		(cd "$out" && "./fuzz_$t" "$FUZZ_SECONDS" "$FUZZ_SEED" "$corpus") || failed=$((failed + 1))
	fi
done
if [ "$failed" -gt 0 ]; then
	echo "fuzz: $failed targets broke; the inputs are in $out"
	exit 1
fi
echo "fuzz: nothing broke"

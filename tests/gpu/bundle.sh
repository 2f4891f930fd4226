#!/bin/sh
# bundle.sh OUT.tar.gz PROGRAMS... - packs what a machine with a device needs to check and measure the
# CUDA backend: the programs, the libraries they were linked with (not CUDA's, nor the C library's), the
# oracle when it is there, and sources and archives with a script that builds the programs anew with the
# nvcc of that machine. Run there: tar xf, then ./cadforge-gpu/slot.sh.
set -eu
out=$1
shift
srcdir=${srcdir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
top=$tmp/cadforge-gpu
mkdir -p "$top/bin" "$top/lib" "$top/archives" "$top/objects"
for p in "$@"; do
	cp "$p" "$top/bin/"
	ldd "$p" | awk '$3 ~ /^\// { print $3 }'
done | sort -u | grep -v -E '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libcublas[^/]*|libcuda[^/]*)\.so' |
	while read -r lib; do cp -L "$lib" "$top/lib/"; done
cp "$srcdir/tests/gpu/slot.sh" "$top/"
cp libgpu.a libbase.a libtrain.a "$top/archives/"
# the parts of the programs that nvcc does not make
for o in tests/*_device-*.o gpu/*_device-*.o gpu/cadforge_infer_cuda-*.o gpu/cadforge_train_cuda-*.o; do
	mkdir -p "$top/objects/$(dirname "$o")"
	cp "$o" "$top/objects/$o"
done
(cd "$srcdir" && tar cf - gpu src/base tests/t_prefill.cc tests/t_k_decode.cc tests/t_k_train.cc tests/t_cuda.c \
	tests/t_train_cuda.c tests/bench_train_cuda.c tests/bench_kernels.c \
	tests/bench_cuda.c tests/*.h) | (mkdir -p "$top/sources" && cd "$top/sources" && tar xf -)
# cmocka.h is all that the tests compiled by nvcc need beside the sources
header=$(echo '#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>' | ${CC:-cc} -E - | sed -n 's/^# [0-9]* "\(.*cmocka\.h\)".*/\1/p' | head -n 1)
cp "$header" "$top/sources/cmocka.h"
cat >"$top/rebuild.sh" <<END
#!/bin/sh
# Builds bin/ anew from sources/, objects/ and archives/ with this machine's nvcc.
set -eu
cd "\$(dirname "\$0")"
flags="$NVCC_FLAGS"
for f in device_cuda k_decode k_prefill k_train; do
	nvcc \$flags -Isources -c -o objects/\$f.o sources/gpu/\$f.cu &
done
for t in t_prefill t_k_decode t_k_train; do
	nvcc -arch=sm_90 -std=c++17 -O2 -Isources -x cu -c -o objects/\${t}_device.o sources/tests/\$t.cc &
done
wait # a compiler that failed shows when linking
kernels="objects/device_cuda.o objects/k_decode.o objects/k_prefill.o objects/k_train.o"
libs="archives/libtrain.a archives/libgpu.a archives/libbase.a"
for l in lib/*.so*; do
	case \$l in
	*/libstdc++* | */libgcc*) ;;
	*) libs="\$libs -Xlinker \$l" ;;
	esac
done
link() { out=\$1; shift; nvcc -arch=sm_90 -o bin/\$out "\$@" \$kernels \$libs -lcublasLt -lpthread -lm; }
link t_prefill_device objects/t_prefill_device.o
link t_k_decode_device objects/t_k_decode_device.o
link t_cuda_device objects/tests/t_cuda_device-*.o objects/gpu/t_cuda_device-*.o
link bench_kernels_device objects/tests/bench_kernels_device-*.o
link bench_cuda_device objects/tests/bench_cuda_device-*.o objects/gpu/bench_cuda_device-*.o
link cadforge-infer-cuda objects/gpu/cadforge_infer_cuda-*.o
link t_k_train_device objects/t_k_train_device.o
link t_train_cuda_device objects/tests/t_train_cuda_device-*.o objects/gpu/t_train_cuda_device-*.o
link bench_train_cuda_device objects/tests/bench_train_cuda_device-*.o objects/gpu/bench_train_cuda_device-*.o
link cadforge-train-cuda objects/gpu/cadforge_train_cuda-*.o
END
chmod +x "$top/rebuild.sh" "$top/slot.sh"
shared=${CADFORGE_SHARED:-$srcdir/../shared}
if [ -d "$shared/oracle" ]; then
	mkdir -p "$top/shared"
	cp -r "$shared/oracle" "$top/shared/"
	chmod -R u+w "$top/shared"
else
	echo "bundle: $shared/oracle is not there: the bundle's tests will skip what needs it"
fi
tar czf "$out" -C "$tmp" cadforge-gpu
echo "$out: $(wc -c <"$out") bytes"

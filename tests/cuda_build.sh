#!/bin/sh
# Every kernel compiles for sm_90 without a warning, keeps its values in registers (no spills, no
# stack), and what it needs at least fits a multiprocessor. Prints the table. Needs nvcc and no GPU.
#
# NVCC: the compiler; srcdir: the sources. Exit 77: skipped, said why.
set -u
srcdir=${srcdir:-$(dirname "$0")/..}
NVCC=${NVCC:-$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc)}
if [ -z "$NVCC" ]; then
	echo "cuda_build: skipped: there is no nvcc"
	exit 77
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0
for source in "$srcdir"/gpu/k_*.cu; do
	name=$(basename "$source" .cu)
	if ! "$NVCC" -std=c++17 -arch=sm_90 -O3 -I"$srcdir" -Werror all-warnings -Xptxas -v \
		-c "$source" -o "$tmp/$name.o" >"$tmp/$name.log" 2>&1; then
		grep -v '^ptxas info\|bytes stack frame' "$tmp/$name.log"
		echo "cuda_build: $name.cu does not compile"
		failed=1
		continue
	fi
	grep -i warning "$tmp/$name.log" && failed=1
	c++filt <"$tmp/$name.log" | awk -v threads_file="$source" '
		/Compiling entry function/ {
			match($0, /\047[^\047]*\047/)
			kernel = substr($0, RSTART + 1, RLENGTH - 2)
			sub(/^void /, "", kernel)
			sub(/\(.*/, "", kernel)
		}
		/bytes stack frame/ {
			stack = $1
			spills = $5 + $9
		}
		/Used [0-9]+ registers/ {
			match($0, /Used [0-9]+/)
			registers = substr($0, RSTART + 5, RLENGTH - 5)
			shared = 0
			if (match($0, /[0-9]+ bytes smem/))
				shared = substr($0, RSTART, RLENGTH) + 0
			printf "%-34s %4d registers %6d bytes shared %4d stack %4d spilled\n",
			       kernel, registers, shared, stack, spills
			kernels++
			if (spills > 0) {
				print "cuda_build: " kernel " spills " spills " bytes"
				bad = 1
			}
			if (stack > 0 && spills == 0) {
				print "cuda_build: " kernel " keeps " stack " bytes in local memory"
				bad = 1
			}
		}
		END {
			if (!kernels)
				print "cuda_build: no kernel in " threads_file
			exit bad || !kernels
		}' || failed=1
done
exit $failed

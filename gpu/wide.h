/*
 * wide.h - WIDE before a function: compiled once for each width of vectors, and the one that the
 * processor has is taken when the program is loaded.
 */
#ifndef GPU_WIDE_H
#define GPU_WIDE_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

#endif

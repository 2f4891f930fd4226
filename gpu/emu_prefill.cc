/* The prefill kernels over the host emulation, for tests. */
#include "gpu/k_prefill.cuh"

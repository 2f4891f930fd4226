/* The prefill kernels for the device. */
#include "gpu/k_prefill.cuh"

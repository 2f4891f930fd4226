/* The training kernels over the host emulation, for tests. */
#include "gpu/k_train.cuh"
#include "gpu/k_train_delta.cuh"

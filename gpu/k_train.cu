/* The training kernels for the device. */
#include "gpu/k_train.cuh"
#include "gpu/k_train_delta.cuh"

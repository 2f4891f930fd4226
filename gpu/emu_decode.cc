/* The decode stages over the host emulation, for tests. */
#include "gpu/k_decode.cu"

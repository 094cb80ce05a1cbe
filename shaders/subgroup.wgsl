// Subgroup helpers for kernels whose workgroup is one subgroup of 8 lanes.

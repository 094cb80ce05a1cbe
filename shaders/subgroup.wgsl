// Subgroup helpers for kernels whose workgroup is 8 lanes of one subgroup.

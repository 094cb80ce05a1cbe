// Philox4x32-10: counter-based random numbers.

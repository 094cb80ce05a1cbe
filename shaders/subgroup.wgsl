// Subgroup helpers.

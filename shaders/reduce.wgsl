// Reductions over a workgroup.

// What one load of each operand gives: one element of a, broadcast along the innermost axis, and a
// pack of b.
alias PackA = f32;
alias PackB = Pack;

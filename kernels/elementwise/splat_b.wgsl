// What one load of each operand gives: a pack of a, and one element of b, broadcast along the
// innermost axis.
alias PackA = Pack;
alias PackB = f32;

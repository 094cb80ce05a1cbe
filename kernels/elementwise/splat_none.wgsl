// What one load of each operand gives: a pack of both.
alias PackA = Pack;
alias PackB = Pack;

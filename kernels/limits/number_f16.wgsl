// 16-bit numbers.
alias Number = f16;
alias Four = vec4<f16>;

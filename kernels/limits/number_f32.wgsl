// 32-bit numbers.
alias Number = f32;
alias Four = vec4<f32>;

// Tiles of halves.
alias Quad = vec4<f16>;

// Tiles of floats.
alias Quad = vec4<f32>;

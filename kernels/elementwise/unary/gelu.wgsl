// y = x P(x), dx = (P(x) + x p(x)) dy, P and p the normal distribution and its density. P by
// Abramowitz and Stegun 7.1.26 (1.5e-7 absolute): half erfc(|x| / sqrt 2), mirrored for x > 0.

fn normal(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * 0.70710678 * abs(x));
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let tail = 0.5 * poly * exp(-0.5 * x * x);
    return select(tail, 1.0 - tail, x > 0.0);
}

fn forward(x: f32) -> f32 {
    return x * normal(x);
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return dy * (normal(x) + x * 0.39894228 * exp(-0.5 * x * x));
}

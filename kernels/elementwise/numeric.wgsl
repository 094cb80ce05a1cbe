// Helpers for ops whose built-ins are inexact or drop NaN on some driver.

// By bits: `x != x` is folded to false on some drivers.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// log(1 + u) for |u| <= 1 by 2 atanh(t) = 2 (t + t^3/3 + t^5/5 + ...), t = u / (2 + u): exact to
// rounding where the built-in log is off by 1.5e-7 absolute.
fn log1p(u: f32) -> f32 {
    let t = u / (2.0 + u);
    let q = t * t;
    let tail = q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
    return 2.0 * (t + t * tail);
}

// y = log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2 for x > 0: what Stirling's formula leaves. By
// y(x) - y(x + 1) = (x + 1/2) log(1 + 1/x) - 1 = atanh(t)/t - 1, t = 1/(2x + 1), up to 4, the asymptotic
// series from there. No difference of large numbers: log Gamma itself would lose all digits at 1e7.

fn forward(x: f32) -> f32 {
    var sum = 0.0;
    var at = x;
    for (var i = 0; i < 4 && at < 4.0; i++) {
        let t = 1.0 / (2.0 * at + 1.0);
        let q = t * t;
        let series = q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
        sum += select(series, (at + 0.5) * log(1.0 + 1.0 / at) - 1.0, at < 1.0);
        at += 1.0;
    }
    let r = 1.0 / at;
    let q = r * r;
    return sum + r * (1.0 / 12.0 - q * (1.0 / 360.0 - q * (1.0 / 1260.0 - q / 1680.0)));
}

// dy/dx(x) - dy/dx(x + 1) = log(1 + 1/x) - (x + 1/2)/(x (x + 1)) = 2 atanh(t) - 2 t/(1 - t^2).
fn backward(x: f32, y: f32, dy: f32) -> f32 {
    var sum = 0.0;
    var at = x;
    for (var i = 0; i < 4 && at < 4.0; i++) {
        let t = 1.0 / (2.0 * at + 1.0);
        let q = t * t;
        let series = q * (2.0 / 3.0 + q * (0.8 + q * (6.0 / 7.0 + q * (8.0 / 9.0 + q * (10.0 / 11.0 + q * 12.0 / 13.0)))));
        let near = log(1.0 + 1.0 / at) - (at + 0.5) / (at * (at + 1.0));
        sum += select(-2.0 * t * series, near, at < 1.0);
        at += 1.0;
    }
    let r = 1.0 / at;
    let q = r * r;
    return dy * (sum - q * (1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0 - q / 240.0))));
}

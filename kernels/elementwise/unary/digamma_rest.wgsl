// y = log x - digamma(x) for x > 0. By y(x) - y(x + 1) = 1/x - log(1 + 1/x) = t/x - 2 (t^3/3 + t^5/5 + ...),
// t = 1/(2x + 1), up to 4, the asymptotic series from there. No difference of large numbers.

fn forward(x: f32) -> f32 {
    var sum = 0.0;
    var at = x;
    for (var i = 0; i < 4 && at < 4.0; i++) {
        let t = 1.0 / (2.0 * at + 1.0);
        let q = t * t;
        let series = q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
        sum += select(t / at - 2.0 * t * series, 1.0 / at - log(1.0 + 1.0 / at), at < 1.0);
        at += 1.0;
    }
    let r = 1.0 / at;
    let q = r * r;
    return sum + 0.5 * r + q * (1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0 - q / 240.0)));
}

// dy/dx = 1/x - trigamma(x); dy/dx(x) - dy/dx(x + 1) = -1/(x^2 (x + 1)).
fn backward(x: f32, y: f32, dy: f32) -> f32 {
    var sum = 0.0;
    var at = x;
    for (var i = 0; i < 4 && at < 4.0; i++) {
        sum -= 1.0 / (at * at * (at + 1.0));
        at += 1.0;
    }
    let r = 1.0 / at;
    let q = r * r;
    return dy * (sum - q * (0.5 + r * (1.0 / 6.0 - q * (1.0 / 30.0 - q * (1.0 / 42.0 - q / 30.0)))));
}

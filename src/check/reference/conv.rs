//! Convolution.

use super::{Array, Attrs, OpInfo, dims, expect, misfit};
use crate::error::Result;

pub(super) const CONV2D: OpInfo = OpInfo {
    name: "conv2d",
    inputs: &["input", "weight", "bias"],
    required: 2,
    attrs: &["stride", "padding", "dilation", "groups"],
    outputs: &["output"],
    fixed: &[],
    forward,
    backward,
};

/// Everything the loops need.
struct Geometry {
    /// N, Ci, H, W of the input.
    x: [usize; 4],
    /// Co, Ci/groups, kh, kw of the weight.
    w: [usize; 4],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    /// Output channels in a group.
    group: usize,
    /// Ho, Wo.
    out: [usize; 2],
}

fn geometry(a: &Attrs<'_>, inputs: &[Array]) -> Result<Geometry> {
    let x: [usize; 4] = dims(a.op, "input", &inputs[0])?;
    let w: [usize; 4] = dims(a.op, "weight", &inputs[1])?;
    let stride = a.positive_pair("stride", [1, 1])?;
    let padding = a.pair("padding", [0, 0])?;
    let dilation = a.positive_pair("dilation", [1, 1])?;
    let groups = a.size("groups", 1)?;
    if groups == 0 || x[1] != w[1] * groups || !w[0].is_multiple_of(groups) {
        return Err(misfit(
            a.op,
            format!(
                "input {x:?} and weight {w:?} with {groups} groups: the weight's axis 1 must be \
                 the input's axis 1 divided by the groups, its axis 0 a multiple of the groups"
            ),
        ));
    }
    if let Some(bias) = inputs.get(2) {
        expect(a.op, "bias", bias, &[w[0]])?;
    }
    let mut out = [0, 0];
    for i in 0..2 {
        let window = dilation[i] * (w[2 + i] - 1) + 1;
        let padded = x[2 + i] + 2 * padding[i];
        if padded < window {
            let text = format!("weight {w:?} spans more than input {x:?} with padding {padding:?}");
            return Err(misfit(a.op, text));
        }
        out[i] = (padded - window) / stride[i] + 1;
    }
    Ok(Geometry { x, w, stride, padding, dilation, group: w[0] / groups, out })
}

impl Geometry {
    /// Calls `f(x index, w index, y index)` for every product in the sum.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([n, ci, h, w], [co, cig, kh, kw], [ho, wo]) = (self.x, self.w, self.out);
        for (b, o) in (0..n).flat_map(|b| (0..co).map(move |o| (b, o))) {
            let first = (o / self.group) * cig;
            for (p, q) in (0..ho).flat_map(|p| (0..wo).map(move |q| (p, q))) {
                let y = ((b * co + o) * ho + p) * wo + q;
                for (r, s) in (0..kh).flat_map(|r| (0..kw).map(move |s| (r, s))) {
                    let row = p * self.stride[0] + r * self.dilation[0];
                    let col = q * self.stride[1] + s * self.dilation[1];
                    let (Some(row), Some(col)) =
                        (row.checked_sub(self.padding[0]), col.checked_sub(self.padding[1]))
                    else {
                        continue;
                    };
                    if row >= h || col >= w {
                        continue;
                    }
                    for c in 0..cig {
                        let x = ((b * ci + first + c) * h + row) * w + col;
                        f(x, ((o * cig + c) * kh + r) * kw + s, y);
                    }
                }
            }
        }
    }

    /// The output channel of output element `y`.
    fn channel(&self, y: usize) -> usize {
        y / (self.out[0] * self.out[1]) % self.w[0]
    }
}

/// y\[n,o,p,q\] = bias\[o\] + Σ_{c,r,s} x\[n, g + c, p·stride − padding + r·dilation,
/// q·stride − padding + s·dilation\] · w\[o,c,r,s\], x being 0 outside; g is the first input channel
/// of o's group.
fn forward(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let g = geometry(a, inputs)?;
    let mut y = Array::zeros(a.op, vec![g.x[0], g.w[0], g.out[0], g.out[1]])?;
    if let Some(bias) = inputs.get(2) {
        for (i, v) in y.data.iter_mut().enumerate() {
            *v = bias.data[g.channel(i)];
        }
    }
    let (x, w) = (&inputs[0].data, &inputs[1].data);
    g.each(|i, j, k| y.data[k] += x[i] * w[j]);
    Ok(vec![y])
}

/// Every product x·w in y: dx gains w·dy and dw gains x·dy; dbias\[o\] = Σ dy of channel o.
fn backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let g = geometry(a, inputs)?;
    let (mut dx, mut dw) = (inputs[0].zeros_like(), inputs[1].zeros_like());
    let (x, w) = (&inputs[0].data, &inputs[1].data);
    g.each(|i, j, k| {
        dx.data[i] += w[j] * dy.data[k];
        dw.data[j] += x[i] * dy.data[k];
    });
    let mut found = vec![Some(dx), Some(dw)];
    if let Some(bias) = inputs.get(2) {
        let mut db = bias.zeros_like();
        for (i, v) in dy.data.iter().enumerate() {
            db.data[g.channel(i)] += v;
        }
        found.push(Some(db));
    }
    Ok(found)
}

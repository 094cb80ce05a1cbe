//! Convolutions: the shapes of the networks, and every awkward one.

use super::{Case, normal, scaled};
use serde_json::{Value, json};

/// x \[N,C,H,W\], w \[Co,C/groups,kh,kw\], the weights scaled so that outputs are about 1.
fn conv(name: &str, x: [usize; 4], w: [usize; 4], attrs: Value) -> Case {
    let sd = 1.0 / ((w[1] * w[2] * w[3]) as f64).sqrt();
    let name = format!("conv2d/{name}");
    // weight gradients sum over batch and plane, input gradients over output channels
    let terms = (x[0] * x[2] * x[3]).max(w[0]);
    Case::new(name, attrs, [normal(x), scaled(w, 0.0, sd)]).summing(terms)
}

fn with_bias(mut case: Case) -> Case {
    let channels = case.inputs[1].shape[0];
    case.inputs.push(normal([channels]));
    case
}

pub(super) fn cases() -> Vec<Case> {
    let same = json!({"padding": 1});
    let half = json!({"stride": 2, "padding": 1});
    vec![
        // the layers of a CIFAR ResNet
        conv("resnet_stem", [2, 3, 32, 32], [16, 3, 3, 3], same.clone()),
        conv("resnet_16_32x32", [2, 16, 32, 32], [16, 16, 3, 3], same.clone()),
        conv("resnet_16_to_32", [2, 16, 32, 32], [32, 16, 3, 3], half.clone()),
        conv("resnet_32_16x16", [2, 32, 16, 16], [32, 32, 3, 3], same.clone()),
        conv("resnet_32_to_64", [2, 32, 16, 16], [64, 32, 3, 3], half.clone()),
        conv("resnet_64_8x8", [3, 64, 8, 8], [64, 64, 3, 3], same.clone()),
        conv("small_8_32x32", [1, 8, 32, 32], [8, 8, 3, 3], same.clone()),
        // sizes
        conv("batch1_channel1", [1, 1, 5, 5], [1, 1, 3, 3], json!({})),
        conv("one_pixel", [2, 3, 1, 1], [4, 3, 1, 1], json!({})),
        conv("3x3_valid", [2, 3, 6, 8], [4, 3, 3, 3], json!({})),
        conv("3x3_s2_odd", [2, 3, 7, 9], [5, 3, 3, 3], half.clone()),
        conv("3x3_s2_even", [2, 4, 8, 6], [6, 4, 3, 3], half.clone()),
        conv("3x3_s2_no_padding", [1, 2, 9, 8], [3, 2, 3, 3], json!({"stride": 2})),
        conv("3x3_s2_over_blocks", [1, 19, 6, 9], [17, 19, 3, 3], half.clone()),
        conv("3x3_no_tile_fits", [3, 17, 13, 11], [19, 17, 3, 3], same.clone()),
        conv("3x3_width_33", [1, 5, 3, 33], [9, 5, 3, 3], same.clone()),
        conv("3x3_width_31_height_1", [2, 3, 1, 31], [4, 3, 3, 3], same.clone()),
        conv("3x3_tall", [1, 2, 65, 3], [3, 2, 3, 3], same.clone()),
        conv("3x3_batch_33", [33, 2, 5, 5], [3, 2, 3, 3], same.clone()),
        conv("3x3_one_output_channel", [2, 7, 6, 6], [1, 7, 3, 3], same.clone()),
        conv("3x3_one_input_channel", [2, 1, 12, 20], [24, 1, 3, 3], same.clone()),
        conv("whole_input", [2, 3, 5, 4], [6, 3, 5, 4], json!({})),
        conv("kernel_over_input", [2, 3, 2, 2], [4, 3, 5, 5], json!({"padding": 2})),
        conv("kernel_over_pixel", [2, 4, 1, 1], [3, 4, 3, 3], same.clone()),
        conv("padding_over_kernel", [1, 2, 3, 4], [2, 2, 2, 2], json!({"padding": 3})),
        conv("stride_over_kernel", [1, 3, 11, 10], [4, 3, 2, 2], json!({"stride": 4})),
        conv(
            "stride_2x1_padding_0x2",
            [2, 3, 9, 7],
            [4, 3, 3, 5],
            json!({"stride": [2, 1], "padding": [0, 2]}),
        ),
        // kernels
        conv("1x1", [2, 8, 7, 7], [5, 8, 1, 1], json!({})),
        conv("1x1_s2", [2, 8, 7, 6], [12, 8, 1, 1], json!({"stride": 2})),
        conv("1x1_quads", [2, 8, 6, 6], [12, 8, 1, 1], json!({})),
        conv("1x1_quads_of_7x7", [3, 36, 7, 7], [68, 36, 1, 1], json!({})),
        conv("1x1_quads_s2", [2, 8, 8, 8], [12, 8, 1, 1], json!({"stride": 2})),
        conv("1x1_quads_s2_odd", [2, 12, 7, 9], [36, 12, 1, 1], json!({"stride": 2})),
        conv("1x1_quads_s3", [1, 4, 8, 7], [8, 4, 1, 1], json!({"stride": 3})),
        conv("1x1_over_tiles", [2, 68, 10, 10], [36, 68, 1, 1], json!({})),
        conv("1x1_channels_512", [1, 512, 3, 3], [20, 512, 1, 1], json!({})),
        conv("1x1_channels_2048", [1, 2048, 1, 2], [3, 2048, 1, 1], json!({})),
        conv("1x1_to_2048", [2, 4, 2, 2], [2048, 4, 1, 1], json!({})),
        conv("5x5", [2, 4, 9, 9], [6, 4, 5, 5], json!({"padding": 2})),
        conv("7x7_s2", [2, 3, 19, 17], [8, 3, 7, 7], json!({"stride": 2, "padding": 3})),
        conv("1x3", [2, 3, 6, 7], [4, 3, 1, 3], json!({"padding": [0, 1]})),
        conv("3x1", [2, 3, 6, 7], [4, 3, 3, 1], json!({"padding": [1, 0]})),
        conv("2x4", [1, 3, 6, 9], [5, 3, 2, 4], json!({"padding": 1})),
        conv("dilation_2", [2, 3, 9, 9], [4, 3, 3, 3], json!({"dilation": 2, "padding": 2})),
        conv(
            "dilation_1x3_s2",
            [1, 2, 8, 12],
            [3, 2, 3, 3],
            json!({"dilation": [1, 3], "stride": 2, "padding": [1, 3]}),
        ),
        // groups and bias
        conv("groups_2", [2, 6, 6, 5], [4, 3, 3, 3], json!({"groups": 2, "padding": 1})),
        conv(
            "groups_4_s2",
            [2, 8, 7, 7],
            [12, 2, 3, 3],
            json!({"groups": 4, "stride": 2, "padding": 1}),
        ),
        conv("depthwise", [2, 9, 7, 6], [9, 1, 3, 3], json!({"groups": 9, "padding": 1})),
        conv("depthwise_twice", [1, 5, 6, 6], [10, 1, 3, 3], json!({"groups": 5, "padding": 1})),
        with_bias(conv("bias", [2, 3, 6, 7], [5, 3, 3, 3], same)),
        with_bias(conv("bias_1x1_batch1", [1, 4, 3, 3], [2, 4, 1, 1], json!({}))),
        with_bias(conv("bias_groups_3", [2, 6, 5, 5], [9, 2, 3, 3], json!({"groups": 3}))),
    ]
}

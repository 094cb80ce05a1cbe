// Inside tiled.wgsl: the products of a slice. Four of them are added up as halves, in one multiply-add a pair
// of halves where the device has such; these sums as floats.
        for (var k = 0u; k < KT; k += 4u) {
            let a = k * A_QUADS + tm * 2u;
            let b = k * B_QUADS + tp;
            let low0 = tile_a[a];
            let low1 = tile_a[a + 1u * A_QUADS];
            let low2 = tile_a[a + 2u * A_QUADS];
            let low3 = tile_a[a + 3u * A_QUADS];
            let high0 = tile_a[a + 1u];
            let high1 = tile_a[a + 1u * A_QUADS + 1u];
            let high2 = tile_a[a + 2u * A_QUADS + 1u];
            let high3 = tile_a[a + 3u * A_QUADS + 1u];
            let b0 = tile_b[b];
            let b1 = tile_b[b + 1u * B_QUADS];
            let b2 = tile_b[b + 2u * B_QUADS];
            let b3 = tile_b[b + 3u * B_QUADS];
            acc0 += vec4<f32>(low0.x * b0 + low1.x * b1 + low2.x * b2 + low3.x * b3);
            acc1 += vec4<f32>(low0.y * b0 + low1.y * b1 + low2.y * b2 + low3.y * b3);
            acc2 += vec4<f32>(low0.z * b0 + low1.z * b1 + low2.z * b2 + low3.z * b3);
            acc3 += vec4<f32>(low0.w * b0 + low1.w * b1 + low2.w * b2 + low3.w * b3);
            acc4 += vec4<f32>(high0.x * b0 + high1.x * b1 + high2.x * b2 + high3.x * b3);
            acc5 += vec4<f32>(high0.y * b0 + high1.y * b1 + high2.y * b2 + high3.y * b3);
            acc6 += vec4<f32>(high0.z * b0 + high1.z * b1 + high2.z * b2 + high3.z * b3);
            acc7 += vec4<f32>(high0.w * b0 + high1.w * b1 + high2.w * b2 + high3.w * b3);
        }

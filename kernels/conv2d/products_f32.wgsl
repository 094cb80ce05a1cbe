// Inside tiled.wgsl: the products of a slice, one k after another.
        for (var k = 0u; k < KT; k++) {
            let low = tile_a[k * A_QUADS + tm * 2u];
            let high = tile_a[k * A_QUADS + tm * 2u + 1u];
            let b = tile_b[k * B_QUADS + tp];
            acc0 += low.x * b;
            acc1 += low.y * b;
            acc2 += low.z * b;
            acc3 += low.w * b;
            acc4 += high.x * b;
            acc5 += high.y * b;
            acc6 += high.z * b;
            acc7 += high.w * b;
        }

// Where element (or pack) `index` of a contiguous result lies in a strided operand: axis 0 is the
// innermost, a broadcast axis has stride 0, adjacent axes have been merged, and the outermost axis in
// use has extent 0, "all that is left", so that it costs no division. Divisions by constants become
// multiplications; unused axes (extent 0 below them) fold away.
// Constants: EXTENT0..EXTENT4.
const DIVISOR0: u32 = max(EXTENT0, 1u);
const DIVISOR1: u32 = max(EXTENT1, 1u);
const DIVISOR2: u32 = max(EXTENT2, 1u);
const DIVISOR3: u32 = max(EXTENT3, 1u);
const DIVISOR4: u32 = max(EXTENT4, 1u);

alias Coordinates = array<u32, 6>;

fn coordinates(index: u32) -> Coordinates {
    var at = Coordinates(index, 0u, 0u, 0u, 0u, 0u);
    if (EXTENT0 != 0u) {
        at[1] = at[0] / DIVISOR0;
        at[0] -= at[1] * EXTENT0;
        if (EXTENT1 != 0u) {
            at[2] = at[1] / DIVISOR1;
            at[1] -= at[2] * EXTENT1;
            if (EXTENT2 != 0u) {
                at[3] = at[2] / DIVISOR2;
                at[2] -= at[3] * EXTENT2;
                if (EXTENT3 != 0u) {
                    at[4] = at[3] / DIVISOR3;
                    at[3] -= at[4] * EXTENT3;
                    if (EXTENT4 != 0u) {
                        at[5] = at[4] / DIVISOR4;
                        at[4] -= at[5] * EXTENT4;
                    }
                }
            }
        }
    }
    return at;
}

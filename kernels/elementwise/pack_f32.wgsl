// A pack is what one load moves: one element here (lengths not divisible by 4).
alias Pack = f32;

fn map(a: Pack, b: Pack, c: Pack) -> Pack {
    return element(a, b, c);
}

//! A dispatch in pieces. A driver may reset a device whose dispatch takes too long (Windows after two
//! seconds), so the engine runs a long one as several, each a piece of the grid: [`cut`] divides the
//! grid, `shift` makes the kernel's text count its workgroups from a piece's first one on. The place
//! of the piece and the whole grid come in a uniform of its own bind group.

use crate::wgsl::ShaderError;

/// A piece of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first workgroup in x, y, z.
    pub first: [u32; 3],
    /// Its workgroups in x, y, z.
    pub grid: [u32; 3],
}

impl Piece {
    /// The whole grid as one piece.
    pub fn whole(grid: [u32; 3]) -> Self {
        Piece { first: [0; 3], grid }
    }
}

/// Cuts a grid into `count` pieces of about the same size along its longest axis, or as many as that
/// axis has workgroups.
pub fn cut(grid: [u32; 3], count: u32) -> Vec<Piece> {
    let axis = (0..3).max_by_key(|a| grid[*a]).unwrap_or(0);
    let (length, count) = (u64::from(grid[axis]), u64::from(count.clamp(1, grid[axis].max(1))));
    let edge = |i: u64| (length * i / count) as u32;
    (0..count)
        .map(|i| {
            let mut piece = Piece::whole(grid);
            piece.first[axis] = edge(i);
            piece.grid[axis] = edge(i + 1) - edge(i);
            piece
        })
        .collect()
}

/// The uniform's declaration.
pub(crate) const DECLARATION: &str = "struct Piece { first: vec3<u32>, whole: vec3<u32> } \
     @group(1) @binding(0) var<uniform> dispatch_piece: Piece;";

/// Renames the entry point's workgroup index and grid and declares them anew, within the piece.
/// Lines stay where they are.
///
/// # Errors
/// No such entry point, or one without a workgroup index.
pub(crate) fn shift(text: &str, entry: &str, path: &'static str) -> Result<String, ShaderError> {
    let fail = |message: String| ShaderError { file: path.into(), line: 0, message };
    let start = text
        .find(&format!("fn {entry}("))
        .ok_or_else(|| fail(format!("no entry point `{entry}`")))?;
    let body = text[start..]
        .find(") {")
        .map(|i| start + i)
        .ok_or_else(|| fail(format!("`{entry}` has no body")))?;
    let (head, rest) = text.split_at(body);
    let (before, signature) = head.split_at(start);
    let mut signature = signature.to_string();
    let mut prologue = String::new();
    for builtin in ["workgroup_id", "num_workgroups"] {
        let mark = format!("@builtin({builtin}) ");
        let Some(at) = signature.find(&mark).map(|i| i + mark.len()) else { continue };
        let Some(length) = signature[at..].find(':') else { continue };
        let name = signature[at..at + length].to_string();
        signature.replace_range(at..at + length, &format!("{name}_of_piece"));
        prologue += &match builtin {
            "workgroup_id" => format!(" let {name} = {name}_of_piece + dispatch_piece.first;"),
            _ => format!(" let {name} = dispatch_piece.whole;"),
        };
    }
    if prologue.is_empty() {
        return Err(fail(format!("`{entry}` does not ask for its workgroup's index")));
    }
    Ok(format!("{before}{signature}) {{{prologue}{}", &rest[3..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_grid_once() {
        for (grid, count) in [([7, 1, 1], 3), ([2, 9, 4], 4), ([3, 3, 3], 100), ([1, 1, 1], 5)] {
            let pieces = cut(grid, count);
            let axis = (0..3).max_by_key(|a| grid[*a]).unwrap_or(0);
            let mut next = 0;
            for piece in &pieces {
                assert_eq!(piece.first[axis], next);
                assert!(piece.grid[axis] > 0);
                next += piece.grid[axis];
            }
            assert_eq!(next, grid[axis]);
            assert_eq!(pieces.len() as u32, count.min(grid[axis]));
        }
    }

    #[test]
    fn an_entry_point_counts_from_its_piece() {
        let text = "var x: f32;\nfn main(@builtin(workgroup_id) wg: vec3<u32>,\n    \
                    @builtin(num_workgroups) grid: vec3<u32>,\n) {\n    x(wg.x, grid.x);\n}\n";
        let made = shift(text, "main", "k.wgsl").unwrap();
        assert!(made.contains("@builtin(workgroup_id) wg_of_piece: vec3<u32>"));
        assert!(made.contains("let wg = wg_of_piece + dispatch_piece.first;"));
        assert!(made.contains("let grid = dispatch_piece.whole;"));
        assert_eq!(made.lines().count(), text.lines().count());
        assert!(shift(text, "other", "k.wgsl").is_err());
        assert!(shift("fn main() {\n}", "main", "k.wgsl").is_err());
    }
}

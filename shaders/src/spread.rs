//! One invocation for each element of a table of rows and columns.

/// Invocations of a workgroup.
pub const INVOCATIONS: u32 = 256;

/// How wide a workgroup is, for a table of `rows × cols`: a power of two up to [`INVOCATIONS`].
pub fn width(rows: usize, cols: usize) -> u32 {
    let most = (INVOCATIONS as usize / rows.clamp(1, 8).next_power_of_two()).max(32);
    cols.clamp(1, most).next_power_of_two() as u32
}

/// The entry point that calls `element(row, col)` once for every element, as WGSL.
pub(crate) fn wgsl(width: u32) -> String {
    format!("const WIDTH: u32 = {width}u;\n\n{}", include_str!("spread.wgsl"))
}

use mindir_shaders::spread::{INVOCATIONS, width};

use super::Target;

/// The width of a workgroup and the grid for a table of `rows × cols`. Where the grid meets its limits, workgroups take up
/// further elements.
pub(super) fn spread(rows: usize, cols: usize, on: &Target) -> (u32, [u32; 3]) {
    let width = width(rows, cols);
    let groups = |n: usize, size: u32| n.div_ceil(size as usize).clamp(1, on.limits.groups as usize) as u32;
    (width, [groups(cols, width), groups(rows, INVOCATIONS / width), 1])
}

//! Tiles of matrix products.
//!
//! A workgroup of 8 x 8 invocations computes `8 · repeat` rows and 64 columns, 16 terms of the sums at a time, from `tile_a` and
//! `tile_b` in workgroup memory. The rows and columns of an invocation lie 8 apart, so that neighbours read and write neighbours.

/// Bytes of workgroup memory of both tiles.
pub(crate) fn shared(repeat: usize) -> u32 {
    4 * 16 * (8 * repeat as u32 + 1 + 65)
}

/// The constants and the workgroup memory of tiles of `Number`, as WGSL.
pub(crate) fn declarations(repeat: usize) -> String {
    format!(
        "const REPEAT: u32 = {repeat}u;\n\
         const ROWS: u32 = {}u;\n\
         const A_PITCH: u32 = ROWS + 1u;\n\
         const B_PITCH: u32 = 65u;\n\n\
         var<workgroup> tile_a: array<Number, 16u * A_PITCH>;\n\
         var<workgroup> tile_b: array<Number, 16u * B_PITCH>;\n\n",
        8 * repeat
    )
}

/// `text` with the sums of an invocation in place of the lines `SUMS;`, which declares them, `MULTIPLY;`, which adds the products
/// of term `l` for row `i` and column `j` of the tile and those that follow them, and `PUT;`, which calls `put(at, row, col, sums)`
/// for four sums of a row at a time.
pub(crate) fn unrolled(text: &str, repeat: usize) -> String {
    let rows = || 0..repeat;
    let sums = rows().map(|r| format!("var left_{r} = vec4<Number>();\nvar right_{r} = vec4<Number>();\n"));
    let products = rows().map(|r| {
        format!(
            "let a_{r} = tile_a[l * A_PITCH + i + {}u];\n\
             left_{r} = left_{r} + a_{r} * b_0;\nright_{r} = right_{r} + a_{r} * b_1;\n",
            8 * r
        )
    });
    let puts = rows().map(|r| {
        let row = format!("row + {}u", 8 * r);
        format!("put(at, {row}, col, left_{r});\nput(at, {row}, col + 32u, right_{r});\n")
    });
    let columns = "let q = l * B_PITCH + j;\n\
         let b_0 = vec4<Number>(tile_b[q], tile_b[q + 8u], tile_b[q + 16u], tile_b[q + 24u]);\n\
         let b_1 = vec4<Number>(tile_b[q + 32u], tile_b[q + 40u], tile_b[q + 48u], tile_b[q + 56u]);\n";
    let multiply = columns.to_string() + &products.collect::<String>();
    inserted(text, &[("SUMS;", sums.collect()), ("MULTIPLY;", multiply), ("PUT;", puts.collect())])
}

/// `text` with the lines of each marker in place of the line that is the marker, as far to the right.
pub(crate) fn inserted(text: &str, markers: &[(&str, String)]) -> String {
    let place = |line: &str| {
        let (name, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        match markers.iter().find(|(marker, _)| *marker == name) {
            Some((_, lines)) => lines.lines().map(|l| format!("{}{l}\n", &line[..indent])).collect(),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(place).collect()
}

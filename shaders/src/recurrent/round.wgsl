// Rounds what steps have kept as f32. The function `fit` follows this text.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn element(row: u32, col: u32) {
    y[col] = fit(y[col]);
}

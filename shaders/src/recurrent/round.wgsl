// Rounds what steps have kept as f32. The type Element stands in front of this text, the function `fit` follows it.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

fn element(row: u32, col: u32) {
    y[col] = Element(fit(x[col]));
}

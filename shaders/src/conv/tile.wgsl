// A workgroup of 8 x 8 invocations computes a tile of 8·REPEAT channels and 64 pixels, 16 terms of the sums at a time: a matrix
// product of weights with the pixels under the taps of the kernel. REPEAT is 1 or 8; it, CHANNELS_LAST and the
// arithmetic of Number are declared in front of this text, and the functions scaled and finish follow it.

struct Params {
    // Output pixels of all images and of one.
    pixels: u32,
    size: u32,
    // Output channels of a group, input channels of a group, kernel taps, groups.
    group: u32,
    depth: u32,
    taps: u32,
    groups: u32,
    // Input size, and output columns.
    h: u32,
    w: u32,
    out_w: u32,
    // Kernel columns.
    kernel: u32,
    // Rows and columns.
    stride: vec2<u32>,
    dilation: vec2<u32>,
    pad: vec2<u32>,
    // Elements of the input between images, channels, rows and columns.
    x_image: u32,
    x_channel: u32,
    x_row: u32,
    x_col: u32,
    // Elements of the output between images, channels and pixels.
    y_image: u32,
    y_channel: u32,
    y_pixel: u32,
    // First elements of the input, the output, and the epilogue's operands.
    x_first: u32,
    y_first: u32,
    firsts: array<vec4<u32>, 8>,
}

const ROWS: u32 = 8u * REPEAT;
const W_PITCH: u32 = ROWS + 1u;
const X_PITCH: u32 = 65u;
// A coordinate that is outside of every image, whatever is added.
const OUTSIDE: i32 = -0x40000000;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;

var<workgroup> tile_w: array<Number, 16u * W_PITCH>;
var<workgroup> tile_x: array<Number, 16u * X_PITCH>;
// For each pixel of the tile: where its window starts in the input, its row and column there, and where the output lies.
var<workgroup> windows: array<vec4<i32>, 64>;
// For each term of the sums: how far its elements are from the start of a window, in elements, rows and columns, and its place
// in a filter.
var<workgroup> terms: array<vec4<i32>, 16>;

// Zero, which the compiler cannot foresee.
fn nothing() -> u32 {
    return params.pixels >> 31u;
}

fn find_window(pixel: u32, lane: u32) {
    let image = pixel / params.size;
    let rest = pixel % params.size;
    let row = i32(rest / params.out_w * params.stride.x) - i32(params.pad.x);
    let col = i32(rest % params.out_w * params.stride.y) - i32(params.pad.y);
    let start = i32(image * params.x_image) + row * i32(params.x_row) + col * i32(params.x_col);
    let place = i32(image * params.y_image + rest * params.y_pixel);
    windows[lane] = vec4<i32>(start, select(OUTSIDE, row, pixel < params.pixels), col, place);
}

// Terms go along what neighbours in memory are: taps in planes, channels in pixels.
fn find_term(k: u32, lane: u32) {
    let channel = select(k / params.taps, k % params.depth, CHANNELS_LAST);
    let tap = select(k % params.taps, k / params.depth, CHANNELS_LAST);
    let row = tap / params.kernel * params.dilation.x;
    let col = tap % params.kernel * params.dilation.y;
    let far = i32(channel * params.x_channel + row * params.x_row + col * params.x_col);
    let known = k < params.depth * params.taps;
    terms[lane] = vec4<i32>(far, select(OUTSIDE, i32(row), known), i32(col), i32(channel * params.taps + tap));
}

fn load_w(first: u32, row: u32, lane: u32) {
    for (var s = 0u; s < 2u * REPEAT; s = s + 1u) {
        let e = lane + 64u * s;
        let i = e / 16u;
        let l = e % 16u;
        let term = terms[l];
        var value = zero();
        if (row + i < params.group && term.y >= 0) {
            value = load(w[(first + row + i) * params.depth * params.taps + u32(term.w)]);
        }
        tile_w[l * W_PITCH + i] = value;
    }
}

fn load_x(first: u32, lane: u32) {
    for (var s = 0u; s < 16u; s = s + 1u) {
        let e = lane + 64u * s;
        let j = select(e % 64u, e / 16u, CHANNELS_LAST);
        let l = select(e / 64u, e % 16u, CHANNELS_LAST);
        let place = windows[j] + terms[l];
        var value = zero();
        if (u32(place.y) < params.h && u32(place.z) < params.w) {
            value = load(x[first + u32(place.x)]);
        }
        tile_x[l * X_PITCH + j] = value;
    }
}

fn put(first: u32, row: u32, pixel: u32, col: u32, sums: vec4<Number>) {
    if (row >= params.group) {
        return;
    }
    let channel = first + row;
    for (var s = 0u; s < 4u; s = s + 1u) {
        let j = col + 8u * s;
        if (pixel + j < params.pixels) {
            let place = u32(windows[j].w) + channel * params.y_channel;
            y[params.y_first + place] = finish(scaled(sums[s], channel), pixel + j, channel, place);
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Tiles of the same pixels come one after the other.
    let high = (params.group + ROWS - 1u) / ROWS;
    let wide = (params.pixels + 63u) / 64u;
    let tile = group.y * groups.x + group.x;
    if (tile >= params.groups * high * wide) {
        return;
    }
    let row = tile % high * ROWS;
    let pixel = tile / high % wide * 64u;
    let part = tile / high / wide;
    let first_x = params.x_first + part * params.depth * params.x_channel;
    let first = part * params.group;
    let i = select(lane / 8u, lane % 8u, CHANNELS_LAST);
    let j = select(lane % 8u, lane / 8u, CHANNELS_LAST);
    find_window(pixel + lane, lane);
    if (lane < 16u) {
        find_term(lane, lane);
    }
    workgroupBarrier();
    var left_0 = vec4<Number>();
    var right_0 = vec4<Number>();
    var left_1 = vec4<Number>();
    var right_1 = vec4<Number>();
    var left_2 = vec4<Number>();
    var right_2 = vec4<Number>();
    var left_3 = vec4<Number>();
    var right_3 = vec4<Number>();
    var left_4 = vec4<Number>();
    var right_4 = vec4<Number>();
    var left_5 = vec4<Number>();
    var right_5 = vec4<Number>();
    var left_6 = vec4<Number>();
    var right_6 = vec4<Number>();
    var left_7 = vec4<Number>();
    var right_7 = vec4<Number>();
    for (var k = 0u; k < params.depth * params.taps; k = k + 16u) {
        load_w(first, row, lane);
        load_x(first_x, lane);
        workgroupBarrier();
        if (lane < 16u) {
            find_term(k + 16u + lane, lane);
        }
        for (var l = 0u; l < 16u; l = l + 1u) {
            let p = l * W_PITCH + i;
            let q = l * X_PITCH + j;
            let x_0 = vec4<Number>(tile_x[q], tile_x[q + 8u], tile_x[q + 16u], tile_x[q + 24u]);
            let x_1 = vec4<Number>(tile_x[q + 32u], tile_x[q + 40u], tile_x[q + 48u], tile_x[q + 56u]);
            let w_0 = tile_w[p];
            left_0 = left_0 + w_0 * x_0;
            right_0 = right_0 + w_0 * x_1;
            if (REPEAT > 1u) {
                let w_1 = tile_w[p + 8u];
                left_1 = left_1 + w_1 * x_0;
                right_1 = right_1 + w_1 * x_1;
                let w_2 = tile_w[p + 16u];
                left_2 = left_2 + w_2 * x_0;
                right_2 = right_2 + w_2 * x_1;
                let w_3 = tile_w[p + 24u];
                left_3 = left_3 + w_3 * x_0;
                right_3 = right_3 + w_3 * x_1;
                let w_4 = tile_w[p + 32u];
                left_4 = left_4 + w_4 * x_0;
                right_4 = right_4 + w_4 * x_1;
                let w_5 = tile_w[p + 40u];
                left_5 = left_5 + w_5 * x_0;
                right_5 = right_5 + w_5 * x_1;
                let w_6 = tile_w[p + 48u];
                left_6 = left_6 + w_6 * x_0;
                right_6 = right_6 + w_6 * x_1;
                let w_7 = tile_w[p + 56u];
                left_7 = left_7 + w_7 * x_0;
                right_7 = right_7 + w_7 * x_1;
            }
        }
        workgroupBarrier();
    }
    put(first, row + i, pixel, j, left_0);
    put(first, row + i, pixel, j + 32u, right_0);
    if (REPEAT > 1u) {
        put(first, row + i + 8u, pixel, j, left_1);
        put(first, row + i + 8u, pixel, j + 32u, right_1);
        put(first, row + i + 16u, pixel, j, left_2);
        put(first, row + i + 16u, pixel, j + 32u, right_2);
        put(first, row + i + 24u, pixel, j, left_3);
        put(first, row + i + 24u, pixel, j + 32u, right_3);
        put(first, row + i + 32u, pixel, j, left_4);
        put(first, row + i + 32u, pixel, j + 32u, right_4);
        put(first, row + i + 40u, pixel, j, left_5);
        put(first, row + i + 40u, pixel, j + 32u, right_5);
        put(first, row + i + 48u, pixel, j, left_6);
        put(first, row + i + 48u, pixel, j + 32u, right_6);
        put(first, row + i + 56u, pixel, j, left_7);
        put(first, row + i + 56u, pixel, j + 32u, right_7);
    }
}

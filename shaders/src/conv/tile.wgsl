// Convolutions in tiles of channels and pixels: a matrix product of weights with the elements of the input under the taps of the
// kernel. CHANNELS_LAST, the arithmetic of Number, the function weight and the declarations of tiles stand in front of this text, and the functions
// scaled and finish follow it.

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

// A coordinate that is outside of every image, whatever is added.
const OUTSIDE: i32 = -0x40000000;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;

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
            value = weight((first + row + i) * params.depth * params.taps + u32(term.w));
        }
        tile_a[l * A_PITCH + i] = value;
    }
}

fn load_x(first: u32, lane: u32) {
    // Consecutive lanes take neighbours: terms of a pixel, or pixels of a term.
    let term = terms[lane % 16u];
    let window = windows[lane];
    for (var s = 0u; s < 16u; s = s + 1u) {
        if (CHANNELS_LAST) {
            let j = lane / 16u + 4u * s;
            tile_b[lane % 16u * B_PITCH + j] = under(first, windows[j] + term);
        } else {
            tile_b[s * B_PITCH + lane] = under(first, window + terms[s]);
        }
    }
}

// The element at a place, row and column of the input.
fn under(first: u32, place: vec4<i32>) -> Number {
    if (u32(place.y) < params.h && u32(place.z) < params.w) {
        return load(x[first + u32(place.x)]);
    }
    return zero();
}

// `at` is the first channel of the group and the first pixel of the tile.
fn put(at: vec2<u32>, row: u32, col: u32, sums: vec4<Number>) {
    if (row >= params.group) {
        return;
    }
    let channel = at.x + row;
    for (var s = 0u; s < 4u; s = s + 1u) {
        let j = col + 8u * s;
        let pixel = at.y + j;
        if (pixel < params.pixels) {
            let place = u32(windows[j].w) + channel * params.y_channel;
            y[params.y_first + place] = finish(scaled(sums[s], channel), pixel, channel, place);
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
    let top = tile % high * ROWS;
    let pixel = tile / high % wide * 64u;
    let part = tile / high / wide;
    let at = vec2<u32>(part * params.group, pixel);
    let i = select(lane / 8u, lane % 8u, CHANNELS_LAST);
    let j = select(lane % 8u, lane / 8u, CHANNELS_LAST);
    find_window(pixel + lane, lane);
    if (lane < 16u) {
        find_term(lane, lane);
    }
    workgroupBarrier();
    SUMS;
    for (var k = 0u; k < params.depth * params.taps; k = k + 16u) {
        load_w(at.x, top, lane);
        load_x(params.x_first + part * params.depth * params.x_channel, lane);
        workgroupBarrier();
        if (lane < 16u) {
            find_term(k + 16u + lane, lane);
        }
        for (var l = 0u; l < 16u; l = l + 1u) {
            MULTIPLY;
        }
        workgroupBarrier();
    }
    let row = top + i;
    let col = j;
    PUT;
}

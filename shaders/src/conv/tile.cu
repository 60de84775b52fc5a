// A block of 8 x 8 threads computes a tile of 8·REPEAT channels and 64 pixels, 16 terms of the sums at a time: a matrix product of
// weights with the pixels under the taps of the kernel. REPEAT is 1 or 8; it, CHANNELS_LAST, SCALED, the types Element, Number,
// Scale and Result with their arithmetic, and Finish, what becomes of a sum, are declared in front of this text.

const u32 ROWS = 8 * REPEAT;
// A coordinate that is outside of every image, whatever is added.
const i32 OUTSIDE = -0x40000000;

// Of a pixel of the tile: where its window starts in the input, its row and column there, and where the output lies. Of a term of
// the sums: how far its elements are from the start of a window, in elements, rows and columns, and its place in a filter.
struct Where {
    i32 start, row, col, place;
};

__shared__ Number tile_w[16][ROWS + 1];
__shared__ Number tile_x[16][65];
__shared__ Where windows[64];
__shared__ Where terms[16];

static void find_window(const Params& params, u32 pixel, u32 lane) {
    u32 image = pixel / params.size;
    u32 rest = pixel % params.size;
    i32 row = (i32)(rest / params.out_w * params.stride[0]) - (i32)params.pad[0];
    i32 col = (i32)(rest % params.out_w * params.stride[1]) - (i32)params.pad[1];
    windows[lane].start = (i32)(image * params.x_image + (u32)row * params.x_row + (u32)col * params.x_col);
    windows[lane].row = pixel < params.pixels ? row : OUTSIDE;
    windows[lane].col = col;
    windows[lane].place = (i32)(image * params.y_image + rest * params.y_pixel);
}

// Terms go along what neighbours in memory are: taps in planes, channels in pixels.
static void find_term(const Params& params, u32 k, u32 lane) {
    Where& term = terms[lane];
    if (k >= params.depth * params.taps) {
        term.row = OUTSIDE;
        return;
    }
    u32 channel = CHANNELS_LAST ? k % params.depth : k / params.taps;
    u32 tap = CHANNELS_LAST ? k / params.depth : k % params.taps;
    u32 row = tap / params.kernel * params.dilation[0];
    u32 col = tap % params.kernel * params.dilation[1];
    term.start = (i32)(channel * params.x_channel + row * params.x_row + col * params.x_col);
    term.row = (i32)row;
    term.col = (i32)col;
    term.place = (i32)(channel * params.taps + tap);
}

static void load_w(const Params& params, const Element* w, u32 first, u32 row) {
    for (u32 e = threadIdx.x; e < 16 * ROWS; e += 64) {
        u32 i = e / 16;
        u32 l = e % 16;
        bool inside = row + i < params.group && terms[l].row >= 0;
        u64 filter = (u64)(first + row + i) * params.depth * params.taps;
        tile_w[l][i] = inside ? number(w[filter + (u32)terms[l].place]) : (Number)0;
    }
}

static void load_x(const Params& params, const Element* x) {
    for (u32 e = threadIdx.x; e < 16 * 64; e += 64) {
        u32 j = CHANNELS_LAST ? e / 16 : e % 64;
        u32 l = CHANNELS_LAST ? e % 16 : e / 64;
        u32 row = (u32)windows[j].row + (u32)terms[l].row;
        u32 col = (u32)windows[j].col + (u32)terms[l].col;
        bool inside = row < params.h && col < params.w;
        tile_x[l][j] = inside ? number(x[(u32)windows[j].start + (u32)terms[l].start]) : (Number)0;
    }
}

static void convolve(const Params& params, const Element* x, const Element* w, const Scale* scale, Result* y,
                     const Finish& finish) {
    // Tiles of the same pixels come one after the other.
    u32 high = (params.group + ROWS - 1) / ROWS;
    u32 wide = (params.pixels + 63) / 64;
    u32 tile = group();
    if (tile >= params.groups * high * wide) return;
    u32 lane = threadIdx.x;
    u32 row = tile % high * ROWS;
    u32 pixel = tile / high % wide * 64;
    u32 part = tile / high / wide;
    u32 first = part * params.group;
    x += params.x_first + (u64)part * params.depth * params.x_channel;
    u32 i = CHANNELS_LAST ? lane % 8 : lane / 8;
    u32 j = CHANNELS_LAST ? lane / 8 : lane % 8;
    find_window(params, pixel + lane, lane);
    if (lane < 16) find_term(params, lane, lane);
    __syncthreads();
    Number sums[REPEAT][8] = {};
    for (u32 k = 0; k < params.depth * params.taps; k += 16) {
        load_w(params, w, first, row);
        load_x(params, x);
        __syncthreads();
        if (lane < 16) find_term(params, k + 16 + lane, lane);
        for (u32 l = 0; l < 16; l++) {
            Number right[8];
            for (u32 s = 0; s < 8; s++) right[s] = tile_x[l][j + 8 * s];
            for (u32 r = 0; r < REPEAT; r++) {
                Number left = tile_w[l][i + 8 * r];
                for (u32 s = 0; s < 8; s++) sums[r][s] = plus_product(sums[r][s], left, right[s]);
            }
        }
        __syncthreads();
    }
    for (u32 r = 0; r < REPEAT; r++) {
        if (row + i + 8 * r >= params.group) continue;
        u32 channel = first + row + i + 8 * r;
        for (u32 s = 0; s < 8; s++) {
            u32 at = j + 8 * s;
            if (pixel + at >= params.pixels) continue;
            u32 place = (u32)windows[at].place + channel * params.y_channel;
            Number sum = SCALED ? fn::Mul(sums[r][s], (Number)load(scale[channel])) : sums[r][s];
            y[params.y_first + place] = finish.of(sum, pixel + at, channel, place);
        }
    }
}

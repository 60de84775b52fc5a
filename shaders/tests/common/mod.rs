//! Variants of every shader, enough to reach every line of their text.

use mindir_graph::DType;
use mindir_graph::task::{
    Binary, Cell, Coordinates, EpilogueInput, Instr, PoolKind, Program, ReduceKind, ResizeMode, ScanKind, ScatterKind,
    Squash, Unary,
};
use mindir_shaders::attention::{Attention, Columns, Rows};
use mindir_shaders::conv::{self, Channels, Direct};
use mindir_shaders::epilogue::Epilogue;
use mindir_shaders::gather::Gather;
use mindir_shaders::gemm::{End, Gemm, Tile};
use mindir_shaders::map::{Map, Read};
use mindir_shaders::norm::Norm;
use mindir_shaders::pool::Pool;
use mindir_shaders::program::function;
use mindir_shaders::recurrent::{Phase, Round, Step};
use mindir_shaders::reduce::Reduce;
use mindir_shaders::resize::Resize;
use mindir_shaders::scan::Scan;
use mindir_shaders::scatter::{Apply, Link, Sort};
use mindir_shaders::softmax::Softmax;
use mindir_shaders::{Language, Lines, Module, Shader, copy, sort};

/// Element types with words.
pub const DTYPES: [DType; 12] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I64,
    DType::U64,
    DType::I32,
    DType::U32,
    DType::Bool,
    DType::I8,
    DType::I16,
    DType::U8,
    DType::U16,
];

/// Those of them that are floats.
pub const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Every variant with a name, and again with the extension `f16` where that makes a difference.
pub fn modules() -> Vec<(String, Module)> {
    let mut all = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I64] {
        add(&mut all, format!("fill-{dtype}"), &copy::Fill { dtype });
        (1..=copy::RANK).for_each(|rank| add(&mut all, format!("copy{rank}-{dtype}"), &copy::Copy { rank, dtype }));
    }
    maps(&mut all);
    gemms(&mut all);
    attentions(&mut all);
    convs(&mut all);
    pools(&mut all);
    resizes(&mut all);
    indexed(&mut all);
    scans(&mut all);
    sorts(&mut all);
    recurrents(&mut all);
    lines(&mut all);
    for bits in 0..16 {
        let [centred, gamma, beta, stats] = [0, 1, 2, 3].map(|b| bits >> b & 1 == 1);
        for dtype in FLOATS {
            add(&mut all, format!("norm{bits:04b}-{dtype}"), &Norm { centred, gamma, beta, stats, dtype });
        }
    }
    all
}

fn add(all: &mut Vec<(String, Module)>, name: String, shader: &impl Shader) {
    let module = |language| shader.module(language).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (plain, halves) = (module(Language::Wgsl), module(Language::WgslF16));
    if halves != plain {
        all.push((format!("{name}-halves"), halves));
    }
    all.push((name, plain));
}

fn maps(all: &mut Vec<(String, Module)>) {
    for rank in 1..=8 {
        let mut p = Program::new();
        let (a, b, c) = (p.input(0, DType::F32), p.input(1, DType::I8), p.input(2, DType::Bool));
        let b = p.cast(b, DType::F32);
        p.select(c, a, b);
        let operands = vec![(DType::F32, Read::Dense), (DType::I8, Read::One), (DType::Bool, Read::Strided)];
        add(all, format!("map{rank}"), &Map { program: p, operands, write: Read::Strided, rank });
    }
    for dtype in DTYPES {
        add(all, format!("map-{dtype}"), &everything(dtype));
        let mut p = Program::new();
        p.input(0, dtype);
        add(
            all,
            format!("map1-{dtype}"),
            &Map { program: p, operands: vec![(dtype, Read::One)], write: Read::One, rank: 1 },
        );
    }
}

/// All functions that `dtype` has, one after the other, and all casts.
fn everything(dtype: DType) -> Map {
    let mut p = Program::new();
    let (mut x, other) = (p.input(0, dtype), p.input(1, dtype));
    for &f in Unary::ALL {
        x = chain(&p, dtype, |p| p.unary(f, x)).map_or(x, |(longer, y)| {
            p = longer;
            y
        });
    }
    for &f in Binary::ALL {
        x = chain(&p, dtype, |p| p.binary(f, x, other)).map_or(x, |(longer, y)| {
            p = longer;
            y
        });
    }
    for to in DTYPES {
        let y = p.cast(x, to);
        x = p.cast(y, dtype);
    }
    let low = p.constant(f64::NEG_INFINITY, dtype);
    let least = p.push(Instr::Int(i64::from(i32::MIN)), dtype);
    let flag = p.cast(x, DType::Bool);
    p.select(flag, low, least);
    Map { program: p, operands: vec![(dtype, Read::Dense), (dtype, Read::Strided)], write: Read::Dense, rank: 3 }
}

/// `p` with one more function and its result as `dtype`, if there is such a function.
fn chain(p: &Program, dtype: DType, add: impl FnOnce(&mut Program) -> usize) -> Option<(Program, usize)> {
    let mut longer = p.clone();
    let y = add(&mut longer);
    let y = longer.cast(y, dtype);
    function(&longer, &[dtype, dtype]).is_ok().then_some((longer, y))
}

/// An epilogue that reads in every way.
fn epilogue() -> Epilogue {
    let mut p = Program::new();
    let sum = p.input(0, DType::F32);
    let others: Vec<usize> = (1..5).map(|i| p.input(i, DType::F32)).collect();
    let total = others.into_iter().fold(sum, |t, x| p.binary(Binary::Add, t, x));
    p.unary(Unary::Gelu, total);
    use EpilogueInput::{Column, Full, Row, Scalar};
    let operands = [Scalar, Column, Row, Full].map(|i| (DType::F32, i)).to_vec();
    Epilogue { program: p, operands }
}

fn gemms(all: &mut Vec<(String, Module)>) {
    for end in [End::Partial, End::Product, End::Epilogue(epilogue())] {
        for tile in [Tile::Rows8, Tile::Rows64] {
            for (a_along_k, b_along_k) in [(true, false), (false, true)] {
                for adds in [false, true] {
                    let (dtype, end) = (DType::F32, end.clone());
                    let name = format!("gemm{}{a_along_k}{adds}{}", tile.rows(), matches!(end, End::Epilogue(_)));
                    add(
                        all,
                        name,
                        &Gemm {
                            tile,
                            a_along_k,
                            b_along_k,
                            dtype,
                            out: dtype,
                            tf32: false,
                            end,
                            packed: [false; 2],
                            adds,
                        },
                    );
                }
            }
        }
    }
    for dtype in DTYPES {
        let mut p = Program::new();
        let (sum, other) = (p.input(0, dtype), p.input(1, dtype));
        p.binary(Binary::Lt, sum, other);
        let end = End::Epilogue(Epilogue { program: p, operands: vec![(dtype, EpilogueInput::Full)] });
        for end in [End::Partial, End::Product, end] {
            for tile in [Tile::Rows8, Tile::Rows64] {
                let (out, end) = (dtype, end.clone());
                let mut gemm = Gemm {
                    tile,
                    a_along_k: true,
                    b_along_k: false,
                    dtype,
                    out,
                    tf32: false,
                    end,
                    packed: [false; 2],
                    adds: false,
                };
                gemm.adds = gemm.adds_up(Language::Wgsl).expect("a product");
                add(all, format!("gemm{}-{dtype}", tile.rows()), &gemm);
            }
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        let (out, end) = (DType::F32, End::Epilogue(epilogue()));
        let gemm = Gemm {
            tile: Tile::Rows64,
            a_along_k: true,
            b_along_k: true,
            dtype,
            out,
            tf32: false,
            end,
            packed: [false; 2],
            adds: true,
        };
        add(all, format!("gemm-{dtype}-f32"), &gemm);
    }
    for dtype in [DType::F16, DType::BF16] {
        for packed in [[false, true], [true, false]] {
            let (tile, out, tf32, end) = (Tile::Rows8, dtype, false, End::Product);
            let gemm = Gemm { tile, a_along_k: true, b_along_k: true, dtype, out, tf32, end, packed, adds: false };
            add(all, format!("gemm-{dtype}-{packed:?}"), &gemm);
        }
    }
    let (dtype, out) = (DType::I8, DType::I32);
    let gemm = Gemm {
        tile: Tile::Rows8,
        a_along_k: true,
        b_along_k: true,
        dtype,
        out,
        tf32: false,
        end: End::Product,
        packed: [false; 2],
        adds: false,
    };
    add(all, "gemm-i8-i32".into(), &gemm);
}

fn attentions(all: &mut Vec<(String, Module)>) {
    for rows in [Rows::One, Rows::Eight, Rows::ThirtyTwo] {
        for columns in [Columns::C32, Columns::C64, Columns::C128] {
            for along in [false, true] {
                let mut program = Program::new();
                let (x, bias, mask) =
                    (program.input(0, DType::F32), program.input(1, DType::F32), program.input(2, DType::Bool));
                program.select(mask, x, bias);
                let others = vec![DType::F32, DType::Bool];
                let (q_along, k_along, v_along) = (along, !along, along);
                let shader = Attention { rows, columns, q_along, k_along, v_along, program, others };
                add(all, format!("attention{rows:?}{columns:?}{along}"), &shader);
            }
        }
    }
}

fn convs(all: &mut Vec<(String, Module)>) {
    let dtype = DType::F32;
    for end in [None, Some(epilogue())] {
        for (channels_last, scaled) in [(false, false), (false, true), (true, true)] {
            let name = format!("{channels_last}-{scaled}-{}", end.is_some());
            for channels in Channels::ALL {
                let tile = conv::Tile {
                    dtype,
                    out: dtype,
                    channels,
                    channels_last,
                    packed: false,
                    scaled,
                    epilogue: end.clone(),
                };
                add(all, format!("conv-{channels:?}-{name}"), &tile);
            }
            let direct =
                Direct { dtype, out: dtype, width: 32, channels_last, packed: false, scaled, epilogue: end.clone() };
            add(all, format!("conv-direct-{name}"), &direct);
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        let (out, channels, scaled, epilogue) = (DType::F32, Channels::Sixteen, true, Some(epilogue()));
        let direct =
            Direct { dtype, out, width: 1, channels_last: true, packed: false, scaled, epilogue: epilogue.clone() };
        add(all, format!("conv-direct-{dtype}-f32"), &direct);
        add(
            all,
            format!("conv-tile-{dtype}-f32"),
            &conv::Tile { dtype, out, channels, channels_last: false, packed: false, scaled, epilogue },
        );
    }
    for dtype in DTYPES {
        let direct =
            Direct { dtype, out: dtype, width: 1, channels_last: true, packed: false, scaled: true, epilogue: None };
        add(all, format!("conv-direct-{dtype}"), &direct);
        if !matches!(dtype, DType::I64 | DType::U64) {
            let channels = Channels::Eight;
            let tile = conv::Tile {
                dtype,
                out: dtype,
                channels,
                channels_last: false,
                packed: false,
                scaled: true,
                epilogue: None,
            };
            add(all, format!("conv-tile-{dtype}"), &tile);
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        let (out, channels_last, packed, scaled, epilogue) = (dtype, false, true, false, None);
        let direct = Direct { dtype, out, width: 1, packed, channels_last, scaled, epilogue: None };
        add(all, format!("conv-direct-packed-{dtype}"), &direct);
        let tile = conv::Tile { dtype, out, channels: Channels::Eight, packed, channels_last, scaled, epilogue };
        add(all, format!("conv-tile-packed-{dtype}"), &tile);
    }
}

fn pools(all: &mut Vec<(String, Module)>) {
    for dtype in DTYPES {
        let kinds = [PoolKind::Max, PoolKind::Avg { count_pads: false }, PoolKind::Avg { count_pads: true }];
        for (i, kind) in kinds.into_iter().enumerate() {
            let pool = Pool { kind, dtype, channels_last: i == 1, width: 1 << i };
            add(all, format!("pool-{dtype}-{kind:?}"), &pool);
        }
    }
}

fn resizes(all: &mut Vec<(String, Module)>) {
    for coordinates in [Coordinates::Asymmetric, Coordinates::AlignCorners, Coordinates::HalfPixel] {
        for mode in [ResizeMode::Nearest, ResizeMode::Bilinear] {
            for dtype in DTYPES {
                let resize = Resize { mode, coordinates, dtype, channels_last: dtype == DType::F16, width: 32 };
                if mode == ResizeMode::Nearest || dtype.is_float() {
                    add(all, format!("{mode:?}-{coordinates:?}-{dtype}"), &resize);
                }
            }
        }
    }
}

fn indexed(all: &mut Vec<(String, Module)>) {
    for index in [DType::I32, DType::I64] {
        for (dtype, zeros) in [(DType::F32, false), (DType::F16, true), (DType::I64, true)] {
            add(
                all,
                format!("gather-{dtype}-{index}-{zeros}"),
                &Gather { dtype, index, zeros, packed: false, width: 32 },
            );
        }
        for dtype in [DType::F16, DType::BF16] {
            let gather = Gather { dtype, index, packed: true, zeros: false, width: 32 };
            add(all, format!("gather-packed-{dtype}-{index}"), &gather);
        }
        for kind in [ScatterKind::Replace, ScatterKind::Add] {
            add(all, format!("link-{index}-{kind:?}"), &Link { kind, index, width: 256 });
        }
    }
    add(all, "sort".into(), &Sort { width: 256 });
    for dtype in DTYPES {
        for kind in [ScatterKind::Replace, ScatterKind::Add] {
            add(all, format!("apply-{dtype}-{kind:?}"), &Apply { kind, dtype, width: 8 });
        }
    }
}

fn sorts(all: &mut Vec<(String, Module)>) {
    for dtype in DTYPES {
        let of = sort::Elements { dtype, descending: dtype.is_float() };
        let results = |values| Some(sort::Results { values, index: if values { DType::I32 } else { DType::I64 } });
        for (pairs, merges, results) in [
            (false, false, None),
            (false, false, results(true)),
            (false, false, results(false)),
            (true, false, None),
            (true, true, results(true)),
            (true, true, results(false)),
        ] {
            let name = format!("sort-{dtype}-{pairs}-{merges}-{:?}", results.map(|r| r.values));
            add(all, name, &sort::Block { of, pairs, merges, results });
        }
        add(all, format!("exchange-{dtype}"), &sort::Exchange { dtype, width: 256 });
        for values in [false, true] {
            let results = sort::Results { values, index: DType::I32 };
            add(all, format!("select-{dtype}-{values}"), &sort::Select { of, results });
        }
    }
}

fn scans(all: &mut Vec<(String, Module)>) {
    for lines in [Lines::Group, Lines::Single] {
        for dtype in DTYPES {
            for (kind, exclusive) in [(ScanKind::Sum, false), (ScanKind::Prod, true)] {
                let scan = Scan { lines, kind, exclusive, reverse: exclusive, dtype };
                add(all, format!("scan-{lines:?}-{dtype}-{kind:?}"), &scan);
            }
        }
    }
}

fn recurrents(all: &mut Vec<(String, Module)>) {
    use Squash::{Relu, Sigmoid, Softplus, Softsign, Tanh};
    let cells = [
        Cell::Plain(Softsign),
        Cell::Gru { squash: [Sigmoid, Tanh], inner: true },
        Cell::Gru { squash: [Softplus, Relu], inner: false },
        Cell::Lstm { squash: [Sigmoid, Tanh, Tanh], order: [0, 2, 3, 1] },
    ];
    for dtype in [DType::F32, DType::F16] {
        for first in [false, true] {
            for cell in cells {
                let step = Step { cell, first, phase: Phase::All, dtype };
                add(all, format!("{}-{first}-{dtype}", cell.name()), &step);
            }
            let step = Step { cell: cells[2], first, phase: Phase::Reset, dtype };
            add(all, format!("reset-{first}-{dtype}"), &step);
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        add(all, format!("round-{dtype}"), &Round { dtype, width: 256 });
    }
}

fn lines(all: &mut Vec<(String, Module)>) {
    use ReduceKind::{All, Any, ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    for lines in [Lines::Group, Lines::Single] {
        for log in [false, true] {
            for dtype in FLOATS {
                add(all, format!("softmax-{lines:?}-{log}-{dtype}"), &Softmax { lines, log, dtype });
            }
        }
        for kind in [Sum, Mean, Prod, Max, Min, All, Any, ArgMax, ArgMin] {
            for dtype in DTYPES {
                let outs: &[DType] =
                    if matches!(kind, ArgMax | ArgMin) { &[DType::I32, DType::I64, DType::U8] } else { &[dtype] };
                for &out in outs {
                    let whole = Reduce { lines, kind, dtype, out, adds: false, partial: false };
                    add(all, format!("reduce-{kind:?}-{dtype}-{out}-{lines:?}"), &whole);
                    if whole.adds_up(Language::Wgsl).expect("a reduction") {
                        for (adds, partial) in [(false, true), (true, true), (true, false)] {
                            let name = format!("reduce-{kind:?}-{dtype}-{lines:?}-{adds}-{partial}");
                            add(all, name, &Reduce { adds, partial, ..whole });
                        }
                    }
                }
            }
        }
    }
}

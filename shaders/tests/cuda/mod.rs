//! Variants of every CUDA kernel, enough to reach every line of their text.

use std::collections::HashSet;

use mindir_graph::DType;
use mindir_graph::task::{
    Binary, Cell, Coordinates, EpilogueInput, Instr, PoolKind, Program, ReduceKind, ResizeMode, ScanKind, ScatterKind,
    Squash, Unary,
};
use mindir_shaders::attention::{Attention, Columns, Rows};
use mindir_shaders::conv::{Channels, Direct, Tile as ConvTile};
use mindir_shaders::epilogue::Epilogue;
use mindir_shaders::gather::Gather;
use mindir_shaders::gemm::{End, Gemm, Tile};
use mindir_shaders::map::{Map, Read};
use mindir_shaders::norm::Norm;
use mindir_shaders::pool::Pool;
use mindir_shaders::recurrent::{self, Phase};
use mindir_shaders::reduce::Reduce;
use mindir_shaders::resize::Resize;
use mindir_shaders::scan::Scan;
use mindir_shaders::scatter::{Apply, Link, Sort};
use mindir_shaders::softmax::Softmax;
use mindir_shaders::{Lines, Module, Shader, copy, sort};

/// Element types that kernels compute.
pub const DTYPES: [DType; 13] = [
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
];

/// Every variant with a name.
pub fn modules() -> Vec<(String, Module)> {
    let mut all = Vec::new();
    for dtype in [DType::U8, DType::F16, DType::F32, DType::F64] {
        add(&mut all, format!("fill-{dtype}"), &copy::Fill { dtype });
        (1..=copy::RANK).for_each(|rank| add(&mut all, format!("copy{rank}-{dtype}"), &copy::Copy { rank, dtype }));
    }
    for dtype in DTYPES {
        add(&mut all, format!("map-{dtype}"), &everything(dtype));
        reductions(&mut all, dtype);
        products(&mut all, dtype);
        images(&mut all, dtype);
        indexed(&mut all, dtype);
        sequences(&mut all, dtype);
        sorts(&mut all, dtype);
    }
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        for lines in [Lines::Group, Lines::Single] {
            for log in [false, true] {
                add(&mut all, format!("softmax-{dtype}-{lines:?}-{log}"), &Softmax { lines, log, dtype });
            }
        }
        for bits in 0..16 {
            let [centred, gamma, beta, stats] = [0, 1, 2, 3].map(|b| bits >> b & 1 == 1);
            add(&mut all, format!("norm-{dtype}-{bits:04b}"), &Norm { centred, gamma, beta, stats, dtype });
        }
    }
    attentions(&mut all);
    let mut seen = HashSet::new();
    all.retain(|(_, module)| seen.insert(module.source.clone()));
    all
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
                add(all, format!("attention-{rows:?}-{columns:?}-{along}"), &shader);
            }
        }
    }
}

fn reductions(all: &mut Vec<(String, Module)>, dtype: DType) {
    use ReduceKind::{All, Any, ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    for lines in [Lines::Group, Lines::Single] {
        for kind in [Sum, Mean, Prod, Max, Min, All, Any, ArgMax, ArgMin] {
            let out = if matches!(kind, ArgMax | ArgMin) { DType::I64 } else { dtype };
            add(
                all,
                format!("{kind:?}-{dtype}-{lines:?}"),
                &Reduce { lines, kind, dtype, out, adds: false, partial: false },
            );
        }
    }
}

/// Element types that sums of products of `dtype` may have, with whether the factors may be rounded to tf32.
fn sums(dtype: DType) -> Vec<(DType, bool)> {
    match dtype {
        DType::F16 | DType::BF16 => vec![(dtype, false), (DType::F32, false)],
        DType::F32 => vec![(dtype, false), (dtype, true)],
        _ => vec![(dtype, false)],
    }
}

fn products(all: &mut Vec<(String, Module)>, dtype: DType) {
    for (out, tf32) in sums(dtype) {
        for end in [End::Product, End::Epilogue(epilogue(out))] {
            for tile in [Tile::Rows8, Tile::Rows64] {
                for along in [false, true] {
                    let name = format!("gemm-{dtype}-{out}-{tf32}-{tile:?}-{along}-{}", end != End::Product);
                    let (end, b_along_k) = (end.clone(), !along);
                    let gemm = Gemm {
                        tile,
                        a_along_k: along,
                        b_along_k,
                        dtype,
                        out,
                        tf32,
                        end,
                        packed: [false; 2],
                        adds: false,
                    };
                    add(all, name, &gemm);
                }
            }
        }
    }
}

fn add(all: &mut Vec<(String, Module)>, name: String, shader: &impl Shader) {
    let module = shader.cuda().unwrap_or_else(|e| panic!("{name}: {e}"));
    all.push((name, module));
}

/// All functions of `dtype`, one after the other, and all casts.
fn everything(dtype: DType) -> Map {
    let mut p = Program::new();
    let (mut x, other) = (p.input(0, dtype), p.input(1, dtype));
    for &f in Unary::ALL {
        let y = p.unary(f, x);
        x = p.cast(y, dtype);
    }
    for &f in Binary::ALL {
        let y = p.binary(f, x, other);
        x = p.cast(y, dtype);
    }
    for to in DTYPES {
        let y = p.cast(x, to);
        x = p.cast(y, dtype);
    }
    let low = p.constant(f64::NEG_INFINITY, dtype);
    let least = p.push(Instr::Int(i64::MIN), dtype);
    let flag = p.cast(x, DType::Bool);
    p.select(flag, low, least);
    Map { program: p, operands: vec![(dtype, Read::Dense), (dtype, Read::Strided)], write: Read::Dense, rank: 3 }
}

/// An epilogue that reads in every way.
fn epilogue(dtype: DType) -> Epilogue {
    let mut p = Program::new();
    let sum = p.input(0, dtype);
    let others: Vec<usize> = (1..5).map(|i| p.input(i, dtype)).collect();
    let total = others.into_iter().fold(sum, |t, x| p.binary(Binary::Add, t, x));
    p.unary(Unary::Relu, total);
    use EpilogueInput::{Column, Full, Row, Scalar};
    Epilogue { program: p, operands: [Scalar, Column, Row, Full].map(|i| (dtype, i)).to_vec() }
}

fn images(all: &mut Vec<(String, Module)>, dtype: DType) {
    for channels_last in [false, true] {
        for (scaled, (out, _)) in
            [false, true].into_iter().flat_map(|s| sums(dtype).into_iter().map(move |out| (s, out)))
        {
            let epilogue = scaled.then(|| epilogue(out));
            let name = format!("conv-{dtype}-{out}-{channels_last}-{scaled}");
            let direct =
                Direct { dtype, out, width: 32, channels_last, packed: false, scaled, epilogue: epilogue.clone() };
            add(all, format!("{name}-direct"), &direct);
            for channels in [Channels::Eight, Channels::SixtyFour] {
                let tile =
                    ConvTile { dtype, out, channels, channels_last, packed: false, scaled, epilogue: epilogue.clone() };
                add(all, format!("{name}-{channels:?}"), &tile);
            }
        }
        for kind in [PoolKind::Max, PoolKind::Avg { count_pads: false }, PoolKind::Avg { count_pads: true }] {
            add(all, format!("{kind:?}-{dtype}-{channels_last}"), &Pool { kind, dtype, channels_last, width: 64 });
        }
        for mode in [ResizeMode::Nearest, ResizeMode::Bilinear] {
            let coordinates = if channels_last { Coordinates::AlignCorners } else { Coordinates::HalfPixel };
            let resize = Resize { mode, coordinates, dtype, channels_last, width: 32 };
            if mode == ResizeMode::Nearest || dtype.is_float() {
                add(all, format!("{mode:?}-{coordinates:?}-{dtype}"), &resize);
            }
        }
    }
}

fn sequences(all: &mut Vec<(String, Module)>, dtype: DType) {
    for kind in [ScanKind::Sum, ScanKind::Prod] {
        for lines in [Lines::Group, Lines::Single] {
            let exclusive = kind == ScanKind::Sum;
            let scan = Scan { lines, kind, exclusive, reverse: !exclusive, dtype };
            add(all, format!("{kind:?}-{dtype}-{lines:?}"), &scan);
        }
    }
    if !dtype.is_float() {
        return;
    }
    use Squash::{Relu, Sigmoid, Softplus, Softsign, Tanh};
    let cells = [
        Cell::Plain(Relu),
        Cell::Gru { squash: [Sigmoid, Tanh], inner: true },
        Cell::Gru { squash: [Softplus, Softsign], inner: false },
        Cell::Lstm { squash: [Sigmoid, Tanh, Tanh], order: [0, 2, 3, 1] },
    ];
    for first in [false, true] {
        for cell in cells {
            let name = format!("{}-{dtype}-{first}", cell.name());
            add(all, name, &recurrent::Step { cell, first, phase: Phase::All, dtype });
        }
        let reset = recurrent::Step { cell: cells[2], first, phase: Phase::Reset, dtype };
        add(all, format!("reset-{dtype}-{first}"), &reset);
    }
    if dtype.size() == 2 {
        add(all, format!("round-{dtype}"), &recurrent::Round { dtype, width: 256 });
    }
}

fn sorts(all: &mut Vec<(String, Module)>, dtype: DType) {
    let of = sort::Elements { dtype, descending: dtype.is_float() };
    for values in [false, true] {
        let results = sort::Results { values, index: DType::I64 };
        for (pairs, merges, results) in [(false, false, None), (true, true, None), (values, values, Some(results))] {
            let name = format!("sort-{dtype}-{pairs}-{merges}-{values}-{}", results.is_some());
            add(all, name, &sort::Block { of, pairs, merges, results });
        }
        add(all, format!("select-{dtype}-{values}"), &sort::Select { of, results });
    }
    add(all, format!("exchange-{dtype}"), &sort::Exchange { dtype, width: 256 });
}

fn indexed(all: &mut Vec<(String, Module)>, dtype: DType) {
    for index in [DType::I32, DType::I64] {
        for zeros in [false, true] {
            add(
                all,
                format!("gather-{dtype}-{index}-{zeros}"),
                &Gather { dtype, index, zeros, packed: false, width: 32 },
            );
        }
    }
    for kind in [ScatterKind::Replace, ScatterKind::Add] {
        add(all, format!("apply-{dtype}-{kind:?}"), &Apply { kind, dtype, width: 32 });
        add(all, format!("link-{kind:?}"), &Link { kind, index: DType::I64, width: 256 });
    }
    add(all, "sort".into(), &Sort { width: 256 });
}

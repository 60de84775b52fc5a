//! Every shader parses, validates and translates, and its interface is what the code says. Needs no GPU.

mod common;

use std::mem::offset_of;

use common::modules;
use mindir_graph::DType;
use mindir_graph::task::{Cell, Coordinates, PoolKind, Program, ReduceKind, ResizeMode, ScanKind, ScatterKind, Squash};
use mindir_shaders::attention::{self, Attention, Columns, Rows};
use mindir_shaders::conv::{Channels, Direct};
use mindir_shaders::gather::Gather;
use mindir_shaders::gemm::{End, Gemm, Tile};
use mindir_shaders::map::{Map, Read};
use mindir_shaders::norm::Norm;
use mindir_shaders::pool::Pool;
use mindir_shaders::recurrent::{Phase, Round, Step};
use mindir_shaders::reduce::Reduce;
use mindir_shaders::resize::Resize;
use mindir_shaders::scan::Scan;
use mindir_shaders::scatter::{Apply, Link, Sort};
use mindir_shaders::softmax::Softmax;
use mindir_shaders::{
    Access, Language, Lines, Module, Shader, conv, copy, gather, gemm, map, norm, pool, recurrent, reduce, resize,
    scan, scatter, softmax, sort,
};
use naga::back::pipeline_constants::process_overrides;
use naga::back::{PipelineConstants, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage, StorageAccess, TypeInner};

fn parse(name: &str, module: &Module) -> naga::Module {
    naga::front::wgsl::parse_str(&module.source)
        .unwrap_or_else(|e| panic!("{name}: {}\n{}", e.emit_to_string(&module.source), module.source))
}

fn validate(name: &str, module: &Module, parsed: &naga::Module) -> ModuleInfo {
    Validator::new(
        ValidationFlags::all(),
        if module.source.starts_with("enable f16;") { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() },
    )
    .validate(parsed)
    .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&module.source)))
}

#[test]
fn shaders_translate_to_every_target() {
    for (name, module) in modules() {
        let parsed = parse(&name, &module);
        let info = validate(&name, &module, &parsed);
        let mut constants = PipelineConstants::default();
        for (key, value) in &module.constants {
            constants.insert((*key).to_string(), *value);
        }
        let (resolved, info) = process_overrides(&parsed, &info, Some((ShaderStage::Compute, "main")), &constants)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let words = spv::write_vec(&resolved, &info, &spv::Options::default(), None);
        assert!(words.unwrap_or_else(|e| panic!("{name}: {e}")).len() > 100);
        let pipeline = msl::PipelineOptions::default();
        let options = msl::Options { lang_version: (2, 0), ..Default::default() };
        let metal = msl::write_string(&resolved, &info, &options, &pipeline);
        assert!(metal.unwrap_or_else(|e| panic!("{name}: {e}")).0.contains("kernel"));
        let mut text = String::new();
        let options = hlsl::Options::default();
        let pipeline = hlsl::PipelineOptions::default();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&resolved, &info, None)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(text.contains("numthreads"));
    }
}

#[test]
fn bindings_and_sizes_are_as_stated() {
    for (name, module) in modules() {
        let parsed = parse(&name, &module);
        let mut found = vec![None; module.bindings.len()];
        for (_, variable) in parsed.global_variables.iter() {
            let Some(at) = variable.binding else { continue };
            assert_eq!(at.group, 0, "{name}");
            match variable.space {
                AddressSpace::Uniform => assert_eq!(at.binding, 0, "{name}"),
                AddressSpace::Storage { access } => {
                    let write = access.contains(StorageAccess::STORE);
                    found[at.binding as usize - 1] = Some(if write { Access::Write } else { Access::Read });
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let stated: Vec<Option<Access>> = module.bindings.iter().copied().map(Some).collect();
        assert_eq!(found, stated, "{name}");
        let size = parsed.entry_points[0].workgroup_size;
        assert_eq!(size.iter().product::<u32>(), module.invocations, "{name}");
        assert_eq!(shared(&parsed), module.shared, "{name}");
    }
}

fn shared(parsed: &naga::Module) -> u32 {
    let workgroup = parsed.global_variables.iter().filter(|v| v.1.space == AddressSpace::WorkGroup);
    workgroup.map(|(_, v)| parsed.types[v.ty].inner.size(parsed.to_ctx())).sum()
}

/// The members of the parameters that `shader` reads, and where they lie.
fn members<S: Shader>(shader: &S) -> Vec<(String, u32)> {
    let module = shader.module(Language::Wgsl).expect("a valid shader");
    let parsed = parse("params", &module);
    let found = parsed.types.iter().find(|t| t.1.name.as_deref() == Some("Params"));
    let Some((_, naga::Type { inner: TypeInner::Struct { members, span }, .. })) = found else {
        panic!("no struct Params")
    };
    assert!(*span as usize <= size_of::<S::Params>().next_multiple_of(16), "{span}");
    members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)).collect()
}

macro_rules! same_offsets {
    ($shader:expr => $params:ty: $($field:ident),*) => {
        let stated = vec![$((stringify!($field).to_string(), offset_of!($params, $field) as u32)),*];
        assert_eq!(members(&$shader), stated);
    };
}

#[test]
fn parameters_lie_where_the_shaders_read_them() {
    let dtype = DType::F32;
    let mut program = Program::new();
    program.input(0, dtype);
    same_offsets!(Map { program, operands: vec![(dtype, Read::Strided)], write: Read::Dense, rank: 2 } => map::Params: count, dims, firsts, strides);
    same_offsets!(copy::Fill { dtype: DType::I64 } => copy::FillParams: count, first, words);
    same_offsets!(copy::Copy { rank: 2, dtype: DType::I64 } => copy::Params: count, first_read, first_written, dims, read, written);
    let gemm = Gemm {
        tile: Tile::Rows8,
        a_along_k: true,
        b_along_k: false,
        dtype,
        out: dtype,
        tf32: false,
        end: End::Product,
        packed: [false; 2],
        adds: false,
    };
    same_offsets!(gemm => gemm::Params: m, n, k, batches, a_row, a_col, b_row, b_col, c_row, a_first, b_first, c_first, batch,
        a_batch, b_batch, c_batch, row_batch, firsts);
    let mut program = Program::new();
    program.input(0, dtype);
    let (rows, columns) = (Rows::Eight, Columns::C32);
    let attention =
        Attention { rows, columns, q_along: true, k_along: true, v_along: true, program, others: Vec::new() };
    same_offsets!(attention => attention::Params: m, n, k, cols, batches, q_row, q_col, k_row, k_col, v_row, v_col, y_row,
        q_first, k_first, v_first, y_first, batch, q_batch, k_batch, v_batch, y_batch, firsts, rows, columns, steps);
    let tile = conv::Tile {
        dtype,
        out: dtype,
        channels: Channels::Eight,
        channels_last: false,
        packed: false,
        scaled: false,
        epilogue: None,
    };
    same_offsets!(tile => conv::Params: pixels, size, group, depth, taps, groups, h, w, out_w, kernel, stride, dilation, pad,
        x_image, x_channel, x_row, x_col, y_image, y_channel, y_pixel, x_first, y_first, firsts);
    let direct =
        Direct { dtype, out: dtype, width: 1, channels_last: false, packed: false, scaled: false, epilogue: None };
    same_offsets!(direct => conv::DirectParams: rows, cols, channels, group, depth, h, w, out_h, out_w, x_first, kernel,
        stride, dilation, pad, x_image, x_channel, x_row, x_col, y_first, firsts);
    let pool = Pool { kind: PoolKind::Max, dtype, channels_last: false, width: 1 };
    same_offsets!(pool => pool::Params: rows, cols, h, w, out_h, out_w, kernel, stride, dilation, pad, end, x_image, x_row,
        x_col, x_first, y_first);
    let (mode, coordinates) = (ResizeMode::Nearest, Coordinates::HalfPixel);
    same_offsets!(Resize { mode, coordinates, dtype, channels_last: false, width: 1 } => resize::Params: rows, cols, x_first,
        y_first, x_image, x_row, x_col, down, along);
    let index = DType::I32;
    same_offsets!(Gather { dtype, index, zeros: false, packed: false, width: 1 } => gather::Params: rows, cols, inner, count, axis,
        start, end, x_outer, index_outer, y_outer, x_first, index_first, y_first);
    let kind = ScatterKind::Add;
    same_offsets!(Link { kind, index, width: 1 } => scatter::LinkParams: rows, cols, rank, axes);
    same_offsets!(Sort { width: 1 } => scatter::SortParams: rows, cols);
    same_offsets!(Apply { kind, dtype, width: 1 } => scatter::Params: rows, cols, x_first, y_first, first);
    let of = sort::Elements { dtype, descending: false };
    same_offsets!(sort::Block { of, pairs: false, merges: false, results: None } => sort::BlockParams: lines, axis, len, inner,
        blocks, keep, given, extent);
    same_offsets!(sort::Exchange { dtype, width: 1 } => sort::ExchangeParams: rows, cols, len, step, mirrored);
    let results = sort::Results { values: true, index };
    same_offsets!(sort::Select { of, results } => sort::SelectParams: lines, axis, inner, given, rounds);
    let step = Step { cell: Cell::Plain(Squash::Tanh), first: true, phase: Phase::All, dtype: DType::F32 };
    same_offsets!(step => recurrent::Params: lines, hidden, rows, x_first, h_first, y_first);
    same_offsets!(Round { dtype: DType::F16, width: 1 } => recurrent::RoundParams: rows, cols);
    let lines = Lines::Group;
    same_offsets!(Scan { lines, kind: ScanKind::Sum, exclusive: false, reverse: false, dtype } => scan::Params: lines, len,
        inner, x_first, y_first);
    same_offsets!(Softmax { lines, log: false, dtype } => softmax::Params: lines, len, inner, x, y);
    let norm = Norm { centred: true, gamma: true, beta: true, stats: true, dtype };
    same_offsets!(norm => norm::Params: rows, cols, eps, firsts);
    let reduce = Reduce { lines, kind: ReduceKind::Sum, dtype, out: dtype, adds: false, partial: false };
    same_offsets!(reduce => reduce::Params: lines, len, inner, pitch, whole, x, y);
}

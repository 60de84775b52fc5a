//! Sorting in CUDA.

use mindir_graph::DType;

use super::{BLOCK, Block, BlockParams, Elements, Exchange, ExchangeParams, Results, Select, SelectParams};
use crate::cuda::{self, Binding, layout};
use crate::{Access, Module, Unsupported};

/// The type of keys, which have 32 bits or, for wider elements, 64.
fn key(dtype: DType) -> &'static str {
    if dtype.size() > 4 { "u64" } else { "u32" }
}

/// The functions `key`, `element_at` and `give`, in two parts; the parameters stand between them.
fn functions(of: Elements, results: Results) -> Result<[String; 2], Unsupported> {
    let keys = format!(
        "typedef {} Key;\nconst bool DESCENDING = {};\n{}{}{}",
        key(of.dtype),
        of.descending,
        cuda::types(of.dtype, of.dtype)?,
        cuda::arithmetic(of.dtype)?,
        include_str!("keys.cu"),
    );
    let (index, values) = (cuda::stored(results.index)?, results.values);
    Ok([keys, format!("typedef {index} Position;\nconst bool VALUES = {values};\n{}", include_str!("place.cu"))])
}

fn bind(bindings: &mut Vec<Binding>, names: &[(&str, &'static str, Access)]) {
    bindings.extend(names.iter().map(|&(name, element, access)| (name.to_string(), element, access)));
}

fn bind_results(bindings: &mut Vec<Binding>, results: Results) {
    if results.values {
        bind(bindings, &[("values", "Element", Access::Write)]);
    }
    bind(bindings, &[("positions", "Position", Access::Write)]);
}

/// The call of a function with these arguments, of which those that are not bound are null.
fn call(function: &str, args: &[&str], bindings: &[Binding]) -> String {
    let given = |name: &&str| if bindings.iter().any(|b| b.0 == **name) { name.to_string() } else { "nullptr".into() };
    let args: Vec<String> = args.iter().map(given).collect();
    format!("    {function}(params, {});\n", args.join(", "))
}

pub(super) fn block(block: &Block) -> Result<Module, Unsupported> {
    let results = block.results.unwrap_or(Results { values: false, index: DType::I32 });
    let mut bindings = Vec::new();
    if !block.pairs || results.values {
        bind(&mut bindings, &[("x", "Element", Access::Read)]);
    }
    if block.pairs {
        bind(&mut bindings, &[("from_keys", "Key", Access::Read), ("from_places", "u32", Access::Read)]);
    }
    match block.results {
        Some(results) => bind_results(&mut bindings, results),
        None => bind(&mut bindings, &[("to_keys", "Key", Access::Write), ("to_places", "u32", Access::Write)]),
    }
    let [keys, places] = functions(block.of, results)?;
    let declared = format!(
        "const bool MERGES = {};\nconst bool PAIRS = {};\nconst bool ENDS = {};\n",
        block.merges,
        block.pairs,
        block.results.is_some()
    );
    let params = layout!(BlockParams: lines, axis, len, inner, blocks, keep, given, extent);
    let parts =
        [cuda::LIBRARY, &keys, include_str!("block_params.cu"), &params, &places, &declared, include_str!("block.cu")];
    let args = ["x", "from_keys", "from_places", "to_keys", "to_places", "values", "positions"];
    let shared = BLOCK as u32 * if key(block.of.dtype) == "u64" { 12 } else { 8 };
    Ok(cuda::module(&parts, &bindings, 256, shared, &call("sort", &args, &bindings)))
}

pub(super) fn exchange(exchange: &Exchange) -> Module {
    let declared = format!("typedef {} Key;\n", key(exchange.dtype));
    let params = layout!(ExchangeParams: rows, cols, len, step, mirrored);
    let mut bindings = Vec::new();
    bind(&mut bindings, &[("keys", "Key", Access::Write), ("places", "u32", Access::Write)]);
    let parts = [declared.as_str(), include_str!("exchange.cu"), &params];
    cuda::spread(&parts, &bindings, exchange.width, "", "keys, places")
}

pub(super) fn select(select: &Select) -> Result<Module, Unsupported> {
    let [keys, places] = functions(select.of, select.results)?;
    let params = layout!(SelectParams: lines, axis, inner, given, rounds);
    let mut bindings = Vec::new();
    bind(&mut bindings, &[("x", "Element", Access::Read), ("keys", "Key", Access::Read)]);
    bind(&mut bindings, &[("sorted", "u32", Access::Read), ("work", "u32", Access::Write)]);
    bind_results(&mut bindings, select.results);
    let parts = [cuda::LIBRARY, &keys, include_str!("select_params.cu"), &params, &places, include_str!("select.cu")];
    let args = ["x", "keys", "sorted", "work", "values", "positions"];
    Ok(cuda::module(&parts, &bindings, 256, 4, &call("select", &args, &bindings)))
}

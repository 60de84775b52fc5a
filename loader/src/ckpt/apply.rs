//! Putting the values of a checkpoint into a model.

use std::fmt::{self, Display, Formatter};

use mindir_graph::graph::Param;
use mindir_graph::{DType, Fact, Tensor, TensorError};
use thiserror::Error;

use super::{Array, Checkpoint};
use crate::Printable;
use crate::element::ElementType;
use crate::error::TensorFault;

/// How strict [`load_param_into_net`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Neither convert element types nor match names by their endings, like `strict_load` in MindSpore.
    pub strict: bool,
}

/// What [`load_param_into_net`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Parameters that got no value, in the model's order.
    pub param_not_load: Vec<String>,
    /// Entries that no parameter has the name of, in the checkpoint's order. As in MindSpore, entries that were used by
    /// their ending are among them.
    pub ckpt_not_load: Vec<String>,
    /// For every parameter, in the model's order, where its value comes from or why it has none.
    pub params: Vec<(String, Source)>,
}

/// Where the value of a parameter comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// From an entry.
    Entry {
        /// Name of the entry.
        name: String,
        /// What had to be done with its value.
        changes: Vec<Change>,
    },
    /// The entry with this name is a text. The parameter keeps its value and counts as loaded.
    Text,
    /// No entry has the name, and none ends with it, or endings are not looked at.
    None {
        /// The entry whose end is most like the name, if any is.
        closest: Option<String>,
    },
}

/// What was done with a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The name of the entry has this text before that of the parameter.
    Prefix(String),
    /// Elements were converted.
    Converted {
        /// Type in the checkpoint.
        from: DType,
        /// Type in the model.
        to: DType,
    },
    /// Trailing dimensions of 1 were dropped.
    Reshaped {
        /// Dimensions in the checkpoint.
        from: Vec<usize>,
        /// Dimensions in the model.
        to: Vec<usize>,
    },
}

/// Values that do not fit their parameters.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{}", Lines(.0))]
pub struct Misfits(pub Vec<Misfit>);

/// A value that does not fit its parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Name of the parameter.
    pub param: String,
    /// Name of the entry.
    pub entry: String,
    /// What the model needs.
    pub expected: Fact,
    /// Element type in the checkpoint.
    pub element: ElementType,
    /// Dimensions in the checkpoint.
    pub dims: Vec<usize>,
    /// Why the value cannot be taken.
    pub why: Why,
}

/// Why a value cannot be taken.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Why {
    /// Other dimensions.
    #[error("the shapes differ")]
    Shape,
    /// Another element type, and not one that is converted.
    #[error("the element types differ")]
    DType,
    /// A number that the parameter's element type does not hold.
    #[error("{0}")]
    Range(#[from] TensorError),
    /// The value itself is not valid.
    #[error("{0}")]
    Tensor(#[from] TensorFault),
}

/// Sets parameters to the values of a checkpoint by the rules of MindSpore's function of that name.
///
/// 1. A parameter takes the value of the entry with its name. A text under that name is passed over.
/// 2. Unless strict: for parameters that are left, the first entry whose name ends with that of a parameter gives a prefix;
///    every parameter that is left then takes the entry called prefix + name, and so on with the next prefix. The test is one
///    of texts, so `xfc.weight` serves `fc.weight`.
/// 3. Shapes must be equal; a value may have more dimensions if those beyond the parameter's are 1. Element types must be
///    equal; unless strict, floats are converted to floats and signed integers to signed integers. Where MindSpore would
///    make an infinity of a finite number or another integer of an integer, the value does not fit.
///
/// ```
/// use mindir_graph::{Tensor, graph::Param};
/// use mindir_loader::ckpt::{Checkpoint, LoadOptions, load_param_into_net};
///
/// // Transfer learning: everything but the head.
/// let mut trained: Checkpoint =
///     [("conv.weight", Tensor::vector(&[1.0f32, 2.0])), ("head.weight", Tensor::vector(&[3.0f32, 4.0, 5.0]))]
///         .into_iter()
///         .collect();
/// trained.retain(|name, _| !name.starts_with("head."));
///
/// let param = |name: &str, tensor| Param { name: name.into(), tensor, mutable: false };
/// let mut params =
///     [param("conv.weight", Tensor::vector(&[0.0f32; 2])), param("head.weight", Tensor::vector(&[0.0f32; 10]))];
/// let loaded = load_param_into_net(&mut params, &trained, LoadOptions::default())?;
/// assert_eq!(loaded.param_not_load, ["head.weight"]);
/// assert_eq!(params[0].tensor, Tensor::vector(&[1.0f32, 2.0]));
/// # Ok::<(), mindir_loader::ckpt::Misfits>(())
/// ```
///
/// # Errors
/// Every value that does not fit. No parameter is changed then.
pub fn load_param_into_net(
    params: &mut [Param],
    checkpoint: &Checkpoint,
    options: LoadOptions,
) -> Result<Loaded, Misfits> {
    let matches = Matches::of(params, checkpoint, options);
    let mut misfits = Vec::new();
    let mut taken = Vec::new();
    for (param, entry) in params.iter().zip(&matches.entries) {
        taken.push(entry.as_ref().and_then(|found| take(param, found, options).map_err(|m| misfits.push(m)).ok()));
    }
    if !misfits.is_empty() {
        return Err(Misfits(misfits));
    }
    let mut loaded = Loaded::default();
    for ((param, entry), taken) in params.iter_mut().zip(&matches.entries).zip(taken) {
        let name = param.name.to_string();
        let source = match (entry, taken) {
            (Some(entry), Some((tensor, changes))) => {
                param.tensor = tensor;
                Source::Entry { name: entry.name.to_string(), changes }
            }
            _ if checkpoint.get(&name).is_some() => Source::Text,
            _ => Source::None { closest: closest(&name, checkpoint) },
        };
        if matches!(source, Source::None { .. }) && !is_helper(&name) {
            loaded.param_not_load.push(name.clone());
        }
        loaded.params.push((name, source));
    }
    let names: std::collections::HashSet<&str> = params.iter().map(|param| &*param.name).collect();
    let unused = checkpoint.iter().filter(|(name, value)| value.array().is_none() || !names.contains(name));
    loaded.ckpt_not_load = unused.map(|(name, _)| name.to_string()).collect();
    Ok(loaded)
}

/// Parameters that MindSpore makes for itself and does not miss.
fn is_helper(name: &str) -> bool {
    name.starts_with("accu_grads")
}

/// An entry that a parameter takes its value from.
#[derive(Clone, Debug)]
struct Found<'a> {
    name: &'a str,
    array: &'a Array,
    prefix: &'a str,
}

/// For every parameter, in order, the entry that it takes.
struct Matches<'a> {
    entries: Vec<Option<Found<'a>>>,
}

impl<'a> Matches<'a> {
    fn of(params: &[Param], checkpoint: &'a Checkpoint, options: LoadOptions) -> Self {
        let by_name = |name: &str| checkpoint.entry(name).and_then(|(name, value)| Some((name, value.array()?)));
        let mut entries: Vec<Option<Found<'a>>> = params
            .iter()
            .map(|param| by_name(&param.name).map(|(name, array)| Found { name, array, prefix: "" }))
            .collect();
        let is_missing = |param: &Param| checkpoint.get(&param.name).is_none() && !is_helper(&param.name);
        let missing: Vec<usize> =
            params.iter().enumerate().filter(|(_, param)| is_missing(param)).map(|(at, _)| at).collect();
        let names = || missing.iter().filter_map(|at| Some((*at, &*params.get(*at)?.name)));
        let Some((_, first)) = names().next().filter(|_| !options.strict) else { return Self { entries } };
        for (at, ending) in names() {
            if entries.get(at).is_none_or(Option::is_some) {
                continue;
            }
            // MindSpore ends its search where the prefix is the name of the first parameter without a value.
            let prefix =
                checkpoint.names().find_map(|name| name.strip_suffix(ending)).filter(|prefix| *prefix != first);
            let Some(prefix) = prefix else { continue };
            for (at, name) in names() {
                let entry = by_name(&format!("{prefix}{name}"));
                if let (Some(slot @ None), Some((name, array))) = (entries.get_mut(at), entry) {
                    *slot = Some(Found { name, array, prefix });
                }
            }
        }
        Self { entries }
    }
}

/// The value for a parameter, and what had to be done with it.
fn take(param: &Param, found: &Found<'_>, options: LoadOptions) -> Result<(Tensor, Vec<Change>), Misfit> {
    let array = found.array;
    let misfit = |why| Misfit {
        param: param.name.to_string(),
        entry: found.name.to_string(),
        expected: param.tensor.fact(),
        element: array.element(),
        dims: array.dims().to_vec(),
        why,
    };
    let mut changes = Vec::new();
    if !found.prefix.is_empty() {
        changes.push(Change::Prefix(found.prefix.to_string()));
    }
    let (from, to) = (array.dims(), param.tensor.shape());
    let reshaped = from != to;
    if reshaped {
        let extra = from.get(to.len()..).filter(|extra| !extra.is_empty());
        let fits =
            extra.is_some_and(|extra| extra.iter().all(|dim| *dim == 1)) && array.count() == param.tensor.count();
        if !fits {
            return Err(misfit(Why::Shape));
        }
        changes.push(Change::Reshaped { from: from.to_vec(), to: to.to_vec() });
    }
    let expected = param.tensor.dtype();
    if array.element() != expected.into() && (options.strict || !convertible(array.element(), expected)) {
        return Err(misfit(Why::DType));
    }
    let tensor = array.reshaped(to).tensor().map_err(|fault| misfit(fault.into()))?;
    if tensor.dtype() == expected {
        return Ok((tensor, changes));
    }
    changes.push(Change::Converted { from: tensor.dtype(), to: expected });
    let tensor = tensor.convert(expected).map_err(|fault| misfit(fault.into()))?;
    Ok((tensor, changes))
}

fn convertible(from: ElementType, to: DType) -> bool {
    use DType::{I8, I16, I32, I64};
    let is_signed = |element| matches!(element, ElementType::Of(I8 | I16 | I32 | I64) | ElementType::Qint4x2);
    from.dtype().is_some_and(DType::is_float) && to.is_float() || is_signed(from) && is_signed(to.into())
}

/// The entry that has the most last parts of the name, at least one.
fn closest(name: &str, checkpoint: &Checkpoint) -> Option<String> {
    let parts =
        |other: &str| name.rsplit('.').zip(other.rsplit('.')).take_while(|(ours, theirs)| ours == theirs).count();
    let scored = checkpoint.names().map(|other| (parts(other), other)).filter(|(parts, _)| *parts > 0);
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, other)| other.to_string())
}

struct Lines<'a>(&'a [Misfit]);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the checkpoint does not fit the model")?;
        self.0.iter().try_for_each(|misfit| write!(f, "\n  {misfit}"))
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { param, entry, expected, element, dims, why } = self;
        let element = element.dtype().map_or(element.name(), DType::name);
        write!(f, "{}: {why}: expected {expected}, found {element} {dims:?}", Printable(param))?;
        if param == entry { Ok(()) } else { write!(f, " in entry {}", Printable(entry)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(list: &[(&str, Tensor)]) -> Vec<Param> {
        list.iter()
            .map(|(name, tensor)| Param { name: (*name).into(), tensor: tensor.clone(), mutable: false })
            .collect()
    }

    fn zeros(names: &[&str]) -> Vec<Param> {
        params(&names.iter().map(|name| (*name, Tensor::vector(&[0.0f32]))).collect::<Vec<_>>())
    }

    fn numbers(names: &[(&str, f32)]) -> Checkpoint {
        names.iter().map(|(name, number)| (*name, Tensor::vector(&[*number]))).collect()
    }

    fn values(params: &[Param]) -> Vec<f64> {
        params.iter().map(|param| param.tensor.to_f64s().unwrap()[0]).collect()
    }

    fn load(params: &mut [Param], checkpoint: &Checkpoint) -> Result<Loaded, Misfits> {
        load_param_into_net(params, checkpoint, LoadOptions::default())
    }

    const STRICT: LoadOptions = LoadOptions { strict: true };

    #[test]
    fn names_and_endings_match_as_in_mindspore() {
        // Entries, parameters, values after loading (0 is untouched), parameters and entries that are left.
        type Case<'a> = (&'a [(&'a str, f32)], &'a [&'a str], &'a [f64], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case] = &[
            (&[("a", 1.0), ("b", 2.0)], &["a", "b"], &[1.0, 2.0], &[], &[]),
            (&[("a", 1.0), ("c", 2.0)], &["a", "b"], &[1.0, 0.0], &["b"], &["c"]),
            (&[("net.a", 1.0), ("net.b", 2.0)], &["a", "b"], &[1.0, 2.0], &[], &["net.a", "net.b"]),
            (&[("xa", 1.0)], &["a"], &[1.0], &[], &["xa"]),
            (&[("p.a", 1.0), ("q.b", 2.0)], &["a", "b"], &[1.0, 2.0], &[], &["p.a", "q.b"]),
            (&[("p.a", 1.0), ("q.a", 2.0), ("q.b", 3.0)], &["a", "b"], &[1.0, 3.0], &[], &["p.a", "q.a", "q.b"]),
            (&[("a", 1.0), ("p.a", 2.0), ("p.b", 3.0)], &["a", "b"], &[1.0, 3.0], &[], &["p.a", "p.b"]),
            (&[("a", 1.0)], &["a", "accu_grads.a"], &[1.0, 0.0], &[], &[]),
            (&[("z.accu_grads.a", 1.0)], &["accu_grads.a"], &[0.0], &[], &["z.accu_grads.a"]),
            // A prefix that is the name of the first parameter without a value.
            (&[("ab", 1.0), ("p.c", 2.0)], &["a", "b", "c"], &[0.0, 0.0, 2.0], &["a", "b"], &["ab", "p.c"]),
            (&[], &["a"], &[0.0], &["a"], &[]),
        ];
        for (entries, names, expected, left, unused) in cases {
            let mut params = zeros(names);
            let loaded = load(&mut params, &numbers(entries)).unwrap();
            assert_eq!(values(&params), *expected, "{entries:?} into {names:?}");
            assert_eq!(loaded.param_not_load, *left, "{entries:?} into {names:?}");
            assert_eq!(loaded.ckpt_not_load, *unused, "{entries:?} into {names:?}");
        }
    }

    #[test]
    fn strict_loading_takes_exact_names_and_types() {
        let mut some = zeros(&["a"]);
        let loaded = load_param_into_net(&mut some, &numbers(&[("net.a", 1.0)]), STRICT).unwrap();
        assert_eq!((loaded.param_not_load, values(&some)), (vec!["a".to_string()], vec![0.0]));
        let half: Checkpoint = [("a", Tensor::vector(&[mindir_graph::f16::ONE]))].into_iter().collect();
        assert_eq!(load_param_into_net(&mut some, &half, STRICT).unwrap_err().0[0].why, Why::DType);
        let loaded = load(&mut some, &half).unwrap();
        let changes = vec![Change::Converted { from: DType::F16, to: DType::F32 }];
        assert_eq!(loaded.params[0].1, Source::Entry { name: "a".to_string(), changes });
        assert_eq!(values(&some), [1.0]);
    }

    #[test]
    fn texts_are_passed_over() {
        let mut checkpoint = numbers(&[("p.a", 1.0)]);
        checkpoint.insert("a", "text");
        let mut some = zeros(&["a"]);
        let loaded = load(&mut some, &checkpoint).unwrap();
        assert_eq!((loaded.param_not_load.len(), values(&some)), (0, vec![0.0]));
        assert_eq!(loaded.ckpt_not_load, ["p.a", "a"]);
        assert_eq!(loaded.params[0].1, Source::Text);
    }

    #[test]
    fn types_convert_within_their_kind() {
        use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16};
        let kinds: [&[DType]; 5] = [&[F16, F32, F64, BF16], &[I8, I16, I32, I64], &[U8], &[U16], &[Bool]];
        let kind = |dtype| kinds.iter().position(|kind| kind.contains(&dtype));
        for from in kinds.concat() {
            for to in kinds.concat() {
                let one = |dtype| Tensor::from_f64s(dtype, &[1], &[1.0]).unwrap();
                let mut some = params(&[("a", Tensor::zeros(to, &[1]).unwrap())]);
                let outcome = load(&mut some, &[("a", one(from))].into_iter().collect());
                let fits = kind(from) == kind(to) && (from == to || kind(from) < Some(2));
                assert_eq!(outcome.is_ok(), fits, "{from} to {to}");
                assert!(!fits || some[0].tensor == one(to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn conversions_lose_no_number() {
        for (value, to) in [(Tensor::vector(&[1e5f32]), DType::F16), (Tensor::vector(&[1i64 << 40]), DType::I32)] {
            let mut some = params(&[("a", Tensor::zeros(to, &[1]).unwrap())]);
            let error = load(&mut some, &[("a", value)].into_iter().collect()).unwrap_err();
            assert!(matches!(error.0[0].why, Why::Range(_)), "{error}");
        }
    }

    #[test]
    fn trailing_ones_are_dropped() {
        let cases: &[(&[usize], &[usize], bool)] = &[
            (&[2, 3], &[2, 3], true),
            (&[2, 3, 1, 1], &[2, 3], true),
            (&[2, 3, 1, 1], &[3, 2], true),
            (&[1], &[], true),
            (&[2, 3], &[2, 3, 1], false),
            (&[3, 2], &[2, 3], false),
            (&[2, 3, 2], &[2, 3], false),
            (&[2, 2, 1], &[2, 3], false),
        ];
        for (from, to, fits) in cases {
            let mut some = params(&[("a", Tensor::zeros(DType::F32, to).unwrap())]);
            let checkpoint = [("a", Tensor::zeros(DType::F32, from).unwrap())].into_iter().collect();
            let outcome = load(&mut some, &checkpoint);
            assert_eq!(outcome.is_ok(), *fits, "{from:?} to {to:?}");
            assert_eq!(some[0].tensor.shape(), *to);
            assert!(*fits || outcome.unwrap_err().0[0].why == Why::Shape);
        }
    }

    #[test]
    fn all_misfits_are_named_and_nothing_is_changed() {
        let mut some = zeros(&["ok", "shape", "type"]);
        let mut checkpoint = numbers(&[("net.ok", 1.0)]);
        checkpoint.insert("net.shape", Tensor::vector(&[1.0f32, 2.0]));
        checkpoint.insert("net.type", Tensor::vector(&[1i32]));
        let error = load(&mut some, &checkpoint).unwrap_err();
        assert_eq!(values(&some), [0.0; 3]);
        let text = "the checkpoint does not fit the model\n  \
                    shape: the shapes differ: expected f32 [1], found f32 [2] in entry net.shape\n  \
                    type: the element types differ: expected f32 [1], found i32 [1] in entry net.type";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn reports_name_the_closest_entry() {
        let mut some = zeros(&["net.fc.weight", "other"]);
        let loaded = load(&mut some, &numbers(&[("x.weight", 1.0), ("y.fc.weight", 2.0)])).unwrap();
        assert_eq!(loaded.params[0].1, Source::None { closest: Some("y.fc.weight".to_string()) });
        assert_eq!(loaded.params[1].1, Source::None { closest: None });
    }
}

//! What ONNX's operators are in MindSpore's: one function for each, in tables by kind.

mod activation;
mod attention;
mod bytes;
mod columns;
mod convolution;
mod einsum;
mod element;
mod grid;
mod heads;
mod integers;
mod layer;
mod loss;
mod lstm;
mod microsoft;
mod nms;
mod pad;
mod pool;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod resize;
mod roi;
mod select;
pub(super) mod shape;
mod signal;
mod sums;
mod unique;
mod windows;

use super::import::{Call, Import, Steps};

/// Builds the nodes of one operator and gives its results.
pub(super) type Build = fn(&mut Import, &Call) -> Steps;

/// An operator's name and how it is built.
type Row = (&'static str, Build);

const TABLES: &[&[Row]] = &[
    attention::OPS,
    columns::OPS,
    convolution::OPS,
    einsum::OPS,
    element::ONE,
    element::OPS,
    element::TWO,
    grid::OPS,
    integers::OPS,
    layer::OPS,
    loss::OPS,
    nms::OPS,
    pad::OPS,
    pool::OPS,
    quantize::OPS,
    random::OPS,
    recurrent::OPS,
    reduce::OPS,
    resize::OPS,
    roi::OPS,
    select::OPS,
    shape::OPS,
    signal::OPS,
    sums::OPS,
    unique::OPS,
];

/// Those of ONNX Runtime's own domain.
const MICROSOFT: &[&[Row]] = &[bytes::OPS, heads::OPS, microsoft::OPS];

/// How to build the operator `op` of a domain.
pub(super) fn find(domain: &str, op: &str) -> Option<Build> {
    let named = |table: &[Row]| table.iter().find(|row| row.0 == op).map(|row| row.1);
    match domain {
        "" | "ai.onnx" => TABLES.iter().find_map(|table| named(table)),
        // ONNX Runtime writes a few of ONNX's own operators into its own domain.
        "com.microsoft" => match op {
            "DequantizeLinear" | "GatherND" | "Gelu" | "GridSample" | "Pad" | "QuantizeLinear" | "Trilu" | "Unique" => {
                find("", op)
            }
            _ => MICROSOFT.iter().find_map(|table| named(table)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::builder::Builder;
    use mindir_graph::{DType, Fact, Tensor};
    use mindir_proto::onnx::{AttributeProto, NodeProto};

    use super::*;
    use crate::onnx::read::import::Val;
    use crate::onnx::read::types::{Length, Type};

    #[test]
    fn operators_are_listed_once_and_in_order() {
        for tables in [TABLES, MICROSOFT] {
            let mut seen = std::collections::HashSet::new();
            for table in tables {
                assert!(table.iter().all(|row| seen.insert(row.0)));
                assert!(table.is_sorted_by_key(|row| row.0), "{:?}", table.iter().map(|r| r.0).collect::<Vec<_>>());
            }
        }
        assert!(find("", "Conv").is_some() && find("ai.onnx.ml", "Conv").is_none() && find("", "Nothing").is_none());
    }

    const ATTRIBUTES: &str = "
        align_corners allowzero alpha auto_pad axes axis batch_dims beta block_size blocksize ceil_mode
        coordinate_transformation_mode count_include_pad dilations direction equation exclusive group hidden_size k
        keepdims kernel_shape layout linear_before_reset mode nearest_mode noop_with_empty_axes num_groups num_outputs
        output_padding output_shape p pads perm reduction reverse scales size split start strides to transA value_int
        value_ints";
    const TEXTS: &str = "
        add SAME_UPPER VALID reverse bidirectional ij,jk->ik ...i,i...->... CRD linear cubic reflect edge wrap
        asymmetric align_corners floor";

    /// Numbers that look random.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }

        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.below(from.len() as u64) as usize]
        }

        fn word(&mut self, from: &'static str) -> &'static str {
            self.pick(&from.split_whitespace().collect::<Vec<_>>())
        }

        fn numbers(&mut self, most: u64) -> Vec<i64> {
            (0..self.below(most))
                .map(|_| self.pick(&[-7, -2, -1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 9, i64::MIN, i64::MAX]))
                .collect()
        }

        fn operand(&mut self) -> Operand {
            let dtype = self.pick(&[
                DType::F32,
                DType::F32,
                DType::F16,
                DType::I64,
                DType::I64,
                DType::Bool,
                DType::U8,
                DType::I8,
            ]);
            let dims: Vec<usize> = (0..self.below(6)).map(|_| self.pick(&[0, 1, 2, 3, 4])).collect();
            if self.below(2) == 0 {
                let open = (0..dims.len()).map(|_| self.below(2) == 0).collect();
                return Operand::Input(Fact::new(dtype, &dims), open, self.below(8) == 0);
            }
            let low = if matches!(dtype, DType::U8 | DType::Bool) { 0.0 } else { -2.0 };
            let values: Vec<f64> = (0..dims.iter().product()).map(|_| low + self.below(5) as f64).collect();
            Operand::Constant(Tensor::from_f64s(dtype, &dims, &values).unwrap())
        }

        fn attribute(&mut self, name: &str) -> AttributeProto {
            let number = self.numbers(2).first().copied().unwrap_or(1);
            AttributeProto {
                name: Some(name.into()),
                i: Some(number),
                f: Some(number as f32),
                s: Some(self.word(TEXTS).into()),
                floats: self.numbers(5).into_iter().map(|i| i as f32).collect(),
                ints: self.numbers(9),
                ..AttributeProto::default()
            }
        }
    }

    /// An operand of a node.
    #[derive(Debug)]
    enum Operand {
        Constant(Tensor),
        /// An input, which of its dimensions may be declared open, and whether even their number may.
        Input(Fact, Vec<bool>, bool),
    }

    impl Operand {
        fn add(&self, m: &mut Import, declared: bool) -> Val {
            match self {
                Operand::Constant(t) => m.constant(t.clone()),
                Operand::Input(fact, ..) if declared => m.input("x", Type::from(fact), &[]),
                Operand::Input(fact, _, true) => m.input("x", Type::new(fact.dtype, None), &[]),
                Operand::Input(fact, open, false) => {
                    let dim = |(n, open): (&usize, &bool)| if *open { Length::Open } else { Length::Fixed(*n as i64) };
                    let dims: Vec<Length> = fact.shape.iter().zip(open).map(dim).collect();
                    m.input("x", Type::new(fact.dtype, dims), &[])
                }
            }
        }
    }

    /// A node with the names of its operator and results, and its operands.
    fn node(dice: &mut Dice, name: &str) -> (NodeProto, Vec<Option<Operand>>, i64) {
        let operands: Vec<Option<Operand>> =
            (0..dice.below(6)).map(|_| (dice.below(8) > 0).then(|| dice.operand())).collect();
        let attributes = ATTRIBUTES.split_whitespace().filter(|_| dice.below(4) == 0).collect::<Vec<_>>();
        let node = NodeProto {
            op_type: Some(name.to_string()),
            input: operands.iter().map(|o| o.as_ref().map_or(String::new(), |_| "x".into())).collect(),
            output: (0..dice.below(4)).map(|i| format!("y{i}")).collect(),
            attribute: attributes.into_iter().map(|name| dice.attribute(name)).collect(),
            ..NodeProto::default()
        };
        (node, operands, dice.pick(&[7, 10, 11, 13, 18, 21]))
    }

    fn built(build: Build, node: &NodeProto, operands: &[Option<Operand>], opset: i64, declared: bool) -> Steps {
        let mut m = Import::new(Builder::new("g"));
        let inputs = operands.iter().map(|o| o.as_ref().map(|o| o.add(&mut m, declared))).collect();
        build(&mut m, &Call { node, inputs, opset, max_rank: 8 })
    }

    /// Whatever operands and attributes a node has, there is an answer or a reason. What is known of the results where
    /// dimensions are open holds for the results where they are declared.
    #[test]
    fn every_builder_answers() {
        let (mut dice, mut answered, mut open) = (Dice(1), 0, 0);
        for (name, build) in TABLES.iter().chain(MICROSOFT).copied().flatten() {
            let mut answers = 0;
            for _ in 0..250 {
                let (node, operands, opset) = node(&mut dice, name);
                let known = built(*build, &node, &operands, opset, true);
                let less = built(*build, &node, &operands, opset, false);
                answers += usize::from(known.is_ok());
                let (Ok(known), Ok(less)) = (known, less) else { continue };
                open += 1;
                for (known, less) in known.iter().zip(&less) {
                    assert!(
                        covers(&less.ty, &known.ty),
                        "{name} {opset} of {operands:?} {node:?}: {:?} is not {:?}",
                        known.ty,
                        less.ty
                    );
                    let (Some(a), Some(b)) = (known.elements(), less.elements()) else { continue };
                    let same = |(a, b): (&Length, &Length)| a.fixed().zip(b.fixed()).is_none_or(|(a, b)| a == b);
                    assert!(a.iter().zip(&b).all(same), "{name} of {node:?}: {a:?} is not {b:?}");
                }
            }
            answered += usize::from(answers > 0);
        }
        assert!(answered > 90, "only {answered} operators were given operands that they take");
        assert!(open > 1500, "only {open} nodes were compared");
    }

    fn covers(less: &Type, known: &Type) -> bool {
        let (Some(a), Some(b)) = (&less.dims, &known.dims) else { return less.dtype == known.dtype };
        let same = |(a, b): (&Length, &Length)| a.fixed().zip(b.fixed()).is_none_or(|(a, b)| a == b);
        less.dtype == known.dtype && a.len() == b.len() && a.iter().zip(b).all(same)
    }
}

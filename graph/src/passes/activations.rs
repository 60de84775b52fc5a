use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::fuse_maps::drop_unread;
use super::{Aims, Notes};
use crate::DType;
use crate::task::{Binary, Instr, Program, Reg, Task, TaskGraph, Unary, V};

/// Makes one instruction of an `f32` activation that a program writes out: SiLU, GELU in both forms, Mish and h-swish.
///
/// The function is rounded once instead of after each step, of which `1 + erf(x)` and its like cancel. The result of one
/// changes by at most `2⁻²⁰ · |x|` beyond what the functions that it is written in are wrong by. Numbers count as those of the
/// definition if they are the nearest `f32` or one beside it.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in &mut nodes {
        let Task::Map(map) = &mut node.task else { continue };
        let known: Vec<Option<f64>> = node.ins.iter().map(|v| number(graph, *v)).collect();
        let (program, found) = shortened(&map.program, &known);
        let Some(last) = program.instrs.len().checked_sub(1).filter(|_| !found.is_empty()) else { continue };
        (map.program, node.ins) = drop_unread(program.leading_to(last), std::mem::take(&mut node.ins));
        found.iter().for_each(|f| notes.applied(&node.path, format!("one instruction for {f:?}")));
    }
    graph.nodes = nodes;
}

/// What `v` holds, if it is one `f32` that is known before the run.
fn number(graph: &TaskGraph, v: V) -> Option<f64> {
    let fact = graph.fact(v);
    let known = (fact.dtype == DType::F32 && fact.count() == 1).then(|| graph.known(v))??;
    known.view::<f32>().ok()?.first().map(|x| f64::from(*x))
}

/// The program with a function in place of each that is written out, and those functions. Steps that nothing reads any more stay.
fn shortened(program: &Program, known: &[Option<f64>]) -> (Program, Vec<Unary>) {
    let mut out = program.clone();
    let mut found = Vec::new();
    for reg in 0..program.instrs.len() {
        if let Some((f, x)) = (Steps { program: &out, known }).activation(reg)
            && let Some(place) = out.instrs.get_mut(reg)
        {
            place.0 = Instr::Unary(f, x);
            found.push(f);
        }
    }
    (out, found)
}

/// Factors and instructions beyond which nothing that is looked for is a product.
const FACTORS: usize = 4;
const STEPS: usize = 12;

/// A number times registers.
struct Product {
    number: f64,
    factors: Vec<Reg>,
}

/// The steps of a program.
struct Steps<'a> {
    program: &'a Program,
    /// The inputs that are one known number.
    known: &'a [Option<f64>],
}

impl Steps<'_> {
    fn instr(&self, reg: Reg) -> Option<Instr> {
        self.program.instrs.get(reg).filter(|(_, dtype)| *dtype == DType::F32).map(|(instr, _)| *instr)
    }

    fn number(&self, reg: Reg) -> Option<f64> {
        match self.instr(reg)? {
            Instr::Const(x) => Some(x),
            Instr::Int(x) => Some(x as f64),
            Instr::Input(i) => *self.known.get(i)?,
            _ => None,
        }
    }

    /// Whether two registers hold the same.
    fn same(&self, a: Reg, b: Reg) -> bool {
        let input = |reg| self.instr(reg).filter(|instr| matches!(instr, Instr::Input(_)));
        a == b || input(a).is_some_and(|input_a| input(b) == Some(input_a))
    }

    /// What `reg` is a product of: nothing but itself, where it is none or a long one.
    fn product(&self, reg: Reg) -> Product {
        let itself = Product { number: 1.0, factors: vec![reg] };
        let (mut product, mut open) = (Product { number: 1.0, factors: Vec::new() }, vec![reg]);
        for _ in 0..STEPS {
            let Some(reg) = open.pop() else { return product };
            match self.instr(reg) {
                _ if self.number(reg).is_some() => product.number *= self.number(reg).unwrap_or(1.0),
                Some(Instr::Binary(Binary::Mul, a, b)) => open.extend([a, b]),
                Some(Instr::Binary(Binary::Div, a, b)) if self.number(b).is_some() => {
                    product.number /= self.number(b).unwrap_or(1.0);
                    open.push(a);
                }
                Some(Instr::Unary(Unary::Square, x)) => open.extend([x, x]),
                Some(Instr::Binary(Binary::Pow, x, n)) if self.number(n) == Some(2.0) => open.extend([x, x]),
                Some(Instr::Binary(Binary::Pow, x, n)) if self.number(n) == Some(3.0) => open.extend([x, x, x]),
                _ => product.factors.push(reg),
            }
            if product.factors.len() + open.len() > FACTORS {
                break;
            }
        }
        itself
    }

    /// `number · x` and nothing else.
    fn is_multiple(&self, reg: Reg, number: f64, factors: &[Reg]) -> bool {
        let product = self.product(reg);
        let fits = product.factors.len() == factors.len();
        fits && near(product.number, number) && product.factors.iter().zip(factors).all(|(a, b)| self.same(*a, *b))
    }

    /// The two terms of a sum.
    fn sum(&self, reg: Reg) -> Option<[Reg; 2]> {
        match self.instr(reg)? {
            Instr::Binary(Binary::Add, a, b) => Some([a, b]),
            _ => None,
        }
    }

    /// A number and what is added to it.
    fn offset(&self, reg: Reg) -> Option<(f64, Reg)> {
        let [a, b] = self.sum(reg)?;
        let of = |number, rest| Some((self.number(number)?, rest));
        of(a, b).or_else(|| of(b, a))
    }

    /// The function that `reg` is, and of what.
    fn activation(&self, reg: Reg) -> Option<(Unary, Reg)> {
        let Product { number, factors } = self.product(reg);
        let &[a, b] = factors.as_slice() else { return None };
        let of = |x, gate| Some((self.gated(number, x, gate)?, x));
        of(a, b).or_else(|| of(b, a))
    }

    /// The function `number · x · gate`.
    fn gated(&self, number: f64, x: Reg, gate: Reg) -> Option<Unary> {
        let one = near(number, 1.0);
        match self.instr(gate)? {
            Instr::Unary(Unary::Sigmoid, y) if one && self.same(x, y) => Some(Unary::Silu),
            Instr::Unary(Unary::HSigmoid, y) if one && self.same(x, y) => Some(Unary::HSwish),
            Instr::Unary(Unary::Tanh, y) if one => {
                let softplus = self.instr(y)?;
                matches!(softplus, Instr::Unary(Unary::Softplus, y) if self.same(x, y)).then_some(Unary::Mish)
            }
            Instr::Unary(Unary::Relu6, y) if near(number, 1.0 / 6.0) => {
                let (three, y) = self.offset(y)?;
                (three == 3.0 && self.same(x, y)).then_some(Unary::HSwish)
            }
            Instr::Binary(Binary::Add, ..) => {
                let (half, rest) = self.offset(gate)?;
                let Product { number: scale, factors } = self.product(rest);
                let (&[rest], true) = (factors.as_slice(), near(scale, half) && near(number * half, 0.5)) else {
                    return None;
                };
                self.odd(x, rest)
            }
            _ => None,
        }
    }

    /// The function whose half `x · (1 + rest)` is.
    fn odd(&self, x: Reg, rest: Reg) -> Option<Unary> {
        match self.instr(rest)? {
            Instr::Unary(Unary::Erf, y) => self.is_multiple(y, FRAC_1_SQRT_2, &[x]).then_some(Unary::Gelu),
            Instr::Unary(Unary::Tanh, y) => {
                let Product { number, factors } = self.product(y);
                let cubic = match *factors.as_slice() {
                    [sum] => self.is_cubic(x, sum),
                    [a, b] => self.same(x, a) && self.is_quadratic(x, b) || self.same(x, b) && self.is_quadratic(x, a),
                    _ => false,
                };
                (near(number, FRAC_2_PI.sqrt()) && cubic).then_some(Unary::GeluTanh)
            }
            _ => None,
        }
    }

    /// Whether `sum` is `x + 0.044715·x³`.
    fn is_cubic(&self, x: Reg, sum: Reg) -> bool {
        let of = |a, b| self.same(x, a) && self.is_multiple(b, 0.044715, &[x; 3]);
        self.sum(sum).is_some_and(|[a, b]| of(a, b) || of(b, a))
    }

    /// Whether `sum` is `1 + 0.044715·x²`.
    fn is_quadratic(&self, x: Reg, sum: Reg) -> bool {
        self.offset(sum).is_some_and(|(one, rest)| one == 1.0 && self.is_multiple(rest, 0.044715, &[x; 2]))
    }
}

/// Whether `x` is a number of a definition, rounded to `f32` once or twice.
fn near(x: f64, definition: f64) -> bool {
    (x - definition).abs() <= definition.abs() * f64::from(f32::EPSILON)
}

//! Matrix products: the shape rule, the plain definition and the lowering that several operators share.

use crate::bounds::Pulse;
use crate::onnx::{Edge, Emit, Forms, NoForm, machine, no_form};
use crate::op::{Lowers, Operand, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::{real, spread};
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes};
use crate::ops::kit::indices::{each_index, result};
use crate::task::{Binary, Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, broadcast, broadcast_strides, ensure, shape};

/// `op(a) · op(b)` over the last two dimensions, where `op` swaps them if asked; batch dimensions broadcast.
pub(in crate::ops) struct Product<'a> {
    pub a: &'a Operand,
    pub b: &'a Operand,
    pub trans_a: bool,
    pub trans_b: bool,
    /// Whether transposing conjugates complex numbers.
    pub adjoint: bool,
}

struct Dims {
    m: usize,
    n: usize,
    k: usize,
    batch: Shape,
}

/// Batch dimensions, rows and columns.
fn ends(dims: &[usize], swapped: bool) -> Option<(&[usize], [usize; 2])> {
    let (batch, &[r, c]) = dims.split_last_chunk()?;
    Some((batch, if swapped { [c, r] } else { [r, c] }))
}

impl Product<'_> {
    fn dims(&self) -> Result<Dims, OpError> {
        let (fa, fb) = (&self.a.fact, &self.b.fact);
        let (Some((outer_a, [m, k])), Some((outer_b, [kb, n]))) =
            (ends(&fa.shape, self.trans_a), ends(&fb.shape, self.trans_b))
        else {
            return Err(OpError::Invalid(format!("expected matrices, found {fa} and {fb}")));
        };
        ensure!(k == kb, "inner dimensions of {fa} and {fb} differ: {k} and {kb}");
        let batch = broadcast(outer_a, outer_b)
            .ok_or_else(|| OpError::Invalid(format!("batch dimensions of {fa} and {fb} do not broadcast")))?;
        Ok(Dims { m, n, k, batch })
    }

    pub fn fact(&self) -> Result<Fact, OpError> {
        real(self.a)?;
        self.any_fact()
    }

    /// The fact of a product of real or complex numbers.
    fn any_fact(&self) -> Result<Fact, OpError> {
        let (fa, fb) = (&self.a.fact, &self.b.fact);
        ensure!(fa.dtype == fb.dtype, "expected operands of one element type, found {fa} and {fb}");
        ensure!(fa.dtype != DType::Bool, "expected numbers, found {fa}");
        let Dims { m, n, mut batch, .. } = self.dims()?;
        batch.extend([m, n]);
        result(fa.dtype, &batch)
    }

    pub fn tensor(&self) -> Result<Tensor, OpError> {
        let fact = self.fact()?;
        with_arithmetic!(fact.dtype, N => {
            let (a, b) = (N::read(self.a.tensor()?)?, N::read(self.b.tensor()?)?);
            N::write(fact.dtype, &fact.shape, &self.sums::<N>(a, b)?)
        })
    }

    fn complex_tensor(&self) -> Result<Tensor, OpError> {
        let fact = self.any_fact()?;
        let read = |x: &Operand, swapped: bool| -> Result<Vec<Complex64>, OpError> {
            let z = complexes(x.tensor()?)?;
            Ok(if swapped && self.adjoint { z.iter().map(Complex64::conj).collect() } else { z })
        };
        let z = self.sums(read(self.a, self.trans_a)?, read(self.b, self.trans_b)?)?;
        complex_tensor(fact.dtype, &fact.shape, &z)
    }

    #[expect(clippy::indexing_slicing, reason = "strides and sides are those of the operands")]
    fn sums<N: Arithmetic>(&self, a: Vec<N>, b: Vec<N>) -> Result<Vec<N>, OpError> {
        let d = self.dims()?;
        let batch = |x: &Operand| broadcast_strides(ends(x.shape(), false)?.0, &d.batch);
        let (sa, sb) = (batch(self.a).unwrap_or_default(), batch(self.b).unwrap_or_default());
        let mut out = Vec::new();
        each_index(&d.batch, |index| {
            let base = |s: &[isize]| index.iter().zip(s).map(|(&i, &s)| i * s as usize).sum::<usize>();
            let (a0, b0) = (base(&sa) * d.m * d.k, base(&sb) * d.k * d.n);
            for i in 0..d.m {
                for j in 0..d.n {
                    let at_a = |l| a0 + if self.trans_a { l * d.m + i } else { i * d.k + l };
                    let at_b = |l| b0 + if self.trans_b { j * d.k + l } else { l * d.n + j };
                    out.push((0..d.k).fold(N::ZERO, |sum, l| sum.add(a[at_a(l)].mul(b[at_b(l)]))));
                }
            }
        })?;
        Ok(out)
    }

    /// `Gemm` for matrices of floats, else `MatMul` behind transposes; `bias` has one element for each column.
    pub fn form(&self, e: &mut Emit, bias: Option<Edge>) -> Result<Edge, NoForm> {
        let (dtype, wide) = (self.a.dtype(), machine(self.a.dtype()));
        let (mut a, mut b) = (e.as_type(self.a, wide)?, e.as_type(self.b, wide)?);
        let bias = bias.map(|x| e.cast(x, dtype, wide));
        if self.a.rank() == 2 && self.b.rank() == 2 && wide.is_float() {
            let flag = |name, set: bool| set.then(|| (name, 1.into()));
            let attrs = [flag("transA", self.trans_a), flag("transB", self.trans_b)].into_iter().flatten().collect();
            let operands: Vec<Edge> = [a, b].into_iter().chain(bias).collect();
            let y = e.op_with("Gemm", &operands, attrs);
            return Ok(e.cast(y, wide, dtype));
        }
        if self.trans_a {
            a = e.transpose(a, &swapped(self.a.rank()));
        }
        if self.trans_b {
            b = e.transpose(b, &swapped(self.b.rank()));
        }
        let mut y = e.op("MatMul", &[a, b]);
        if let Some(bias) = bias {
            y = e.op("Add", &[y, bias]);
        }
        Ok(e.cast(y, wide, dtype))
    }

    /// As a value. The values of its operands may still have other dimensions than the operands; they are reshaped.
    pub fn value(&self, b: &mut Lowering) -> Result<V, OpError> {
        let fact = self.fact()?;
        if self.dims()?.k == 0 || fact.count() == 0 {
            return Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?));
        }
        let [x, y] = [self.a, self.b].map(|x| b.reshape(x.v, x.shape()));
        b.matmul(x?, y?, self.trans_a, self.trans_b)
    }
}

impl Rule for Product<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.any_fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = if self.a.dtype().is_complex() { self.complex_tensor() } else { self.tensor() };
        Ok(vec![y?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.a.dtype().is_complex() {
            return Ok(None);
        }
        Ok(Some(vec![self.value(b)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if self.a.dtype().is_complex() {
            return no_form("ONNX has no arithmetic of complex numbers");
        }
        Ok(Some(vec![self.form(e, None)?]))
    }
}

/// The product of operands that are no matrices until they get other dimensions; it gets `dims`, and then a bias is added.
pub(in crate::ops) struct Flattened<'a> {
    /// The operands with the dimensions of matrices.
    pub a: Operand,
    pub b: Operand,
    pub trans_b: bool,
    pub dims: Shape,
    pub bias: Option<&'a Operand>,
}

impl Flattened<'_> {
    fn product(&self) -> Product<'_> {
        Product { a: &self.a, b: &self.b, trans_a: false, trans_b: self.trans_b, adjoint: false }
    }
}

impl Rule for Flattened<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fact = Fact { dtype: self.product().fact()?.dtype, shape: self.dims.clone() };
        check_bias(&fact, self.bias)?;
        Ok(vec![fact])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![add_bias(self.product().tensor()?.reshape(&self.dims)?, self.bias)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = self.product().value(b)?;
        let y = b.reshape(y, &self.dims)?;
        Ok(Some(vec![lower_bias(b, y, self.bias)?]))
    }
}

/// The dimensions with the last two swapped.
fn swapped(rank: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    perm
}

/// `x` with other dimensions, contents included.
pub(in crate::ops) fn reshaped(x: &Operand, v: V, dims: &[usize]) -> Result<Operand, OpError> {
    let known = x.known.as_ref().map(|t| t.reshape(dims)).transpose()?;
    Ok(Operand { v, fact: Fact { dtype: x.dtype(), shape: shape(dims) }.into(), known })
}

/// The operand as a tensor that is being computed.
pub(in crate::ops) fn computed(like: &Operand, tensor: Tensor) -> Operand {
    Operand { v: like.v, fact: tensor.fact().into(), known: Some(tensor) }
}

/// The shape of `x + bias`, where a bias is given: that of `x`.
pub(in crate::ops) fn check_bias(x: &Fact, bias: Option<&Operand>) -> Result<(), OpError> {
    let Some(bias) = bias else { return Ok(()) };
    ensure!(bias.dtype() == x.dtype, "expected a bias of {}, found {}", x.dtype, bias.fact);
    let fits = broadcast(bias.shape(), &x.shape).is_some_and(|s| s == x.shape);
    ensure!(fits, "bias {} does not broadcast to {x}", bias.fact);
    Ok(())
}

/// `x + bias` where a bias is given; it broadcasts to `x`.
pub(in crate::ops) fn add_bias(x: Tensor, bias: Option<&Operand>) -> Result<Tensor, OpError> {
    let Some(bias) = bias else { return Ok(x) };
    with_arithmetic!(x.dtype(), N => {
        let (mut y, b) = (N::read(&x)?, N::read(bias.tensor()?)?);
        let (b, mut pulse) = (spread(&b, bias.shape(), x.shape())?, Pulse::default());
        for (y, b) in y.iter_mut().zip(b) {
            pulse.beat()?;
            *y = y.add(b);
        }
        N::write(x.dtype(), x.shape(), &y)
    })
}

/// `x + bias` where a bias is given.
pub(in crate::ops) fn lower_bias(b: &mut Lowering, x: V, bias: Option<&Operand>) -> Result<V, OpError> {
    match bias {
        Some(bias) => b.binary(Binary::Add, x, bias.v),
        None => Ok(x),
    }
}

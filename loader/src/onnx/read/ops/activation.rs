//! The functions of recurrent layers and of fused operators.

use mindir_graph::task::Squash;

use crate::onnx::read::import::{Call, Import, Step, Val};

/// A function with its parameters, under ONNX's name.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    pub name: &'static str,
    alpha: f64,
    beta: f64,
}

/// The functions that there are, and what their parameters are unless the node says it.
const KNOWN: [(&str, Option<f64>, Option<f64>); 11] = [
    ("Affine", Some(1.0), Some(0.0)),
    ("Elu", Some(1.0), None),
    ("HardSigmoid", Some(0.2), Some(0.5)),
    ("LeakyRelu", Some(0.01), None),
    ("Relu", None, None),
    ("ScaledTanh", Some(1.0), Some(1.0)),
    ("Sigmoid", None, None),
    ("Softplus", None, None),
    ("Softsign", None, None),
    ("Tanh", None, None),
    ("ThresholdedRelu", Some(1.0), None),
];

/// The name of a function, however it is written, and its usual parameters.
fn known(name: &str) -> Result<(&'static str, Option<f64>, Option<f64>), String> {
    let known = KNOWN.iter().find(|known| known.0.eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| format!("activation {name} is not supported"))
}

/// The functions of each direction. Parameters are listed in the order of the functions that have them.
pub(super) fn activations(c: &Call, usual: &[&str], directions: usize) -> Result<Vec<Vec<Activation>>, String> {
    let names = c.texts("activations").unwrap_or_else(|| {
        let one = usual.iter().map(|name| (*name).to_string());
        std::iter::repeat_n(one, directions).flatten().collect()
    });
    if names.len() != usual.len() * directions {
        return Err(format!("{} activations, expected {}", names.len(), usual.len() * directions));
    }
    let list = |name| c.floats(name).unwrap_or_default().into_iter().map(f64::from);
    let (mut alphas, mut betas) = (list("activation_alpha"), list("activation_beta"));
    let mut function = |name: &String| {
        let (_, alpha, beta) = known(name)?;
        Activation::named(name, [alpha.and_then(|_| alphas.next()), beta.and_then(|_| betas.next())])
    };
    let all = names.iter().map(&mut function).collect::<Result<Vec<_>, String>>()?;
    Ok(all.chunks(usual.len()).map(<[_]>::to_vec).collect())
}

impl Activation {
    /// A function with the parameters that are given.
    pub fn named(name: &str, [alpha, beta]: [Option<f64>; 2]) -> Result<Activation, String> {
        let (name, a, b) = known(name)?;
        Ok(Activation { name, alpha: alpha.or(a).unwrap_or_default(), beta: beta.or(b).unwrap_or_default() })
    }

    /// The function as devices know it.
    pub fn squash(&self) -> Option<Squash> {
        match self.name {
            "Sigmoid" => Some(Squash::Sigmoid),
            "Tanh" => Some(Squash::Tanh),
            "Relu" => Some(Squash::Relu),
            "Softsign" => Some(Squash::Softsign),
            "Softplus" => Some(Squash::Softplus),
            _ => None,
        }
    }

    pub fn apply(&self, m: &mut Import, x: &Val) -> Step {
        let Activation { name, alpha, beta } = *self;
        match name {
            "Relu" => m.one("ReLU", x),
            "Affine" => {
                let y = m.with("Mul", x, alpha)?;
                m.with("Add", &y, beta)
            }
            "ScaledTanh" => {
                let y = m.with("Mul", x, beta)?;
                let y = m.one("Tanh", &y)?;
                m.with("Mul", &y, alpha)
            }
            "HardSigmoid" => {
                let y = m.with("Mul", x, alpha)?;
                let y = m.with("Add", &y, beta)?;
                m.clamped(&y, 0.0, 1.0)
            }
            "Elu" => {
                let y = m.one("Exp", x)?;
                let y = m.with("Sub", &y, 1.0)?;
                let y = m.with("Mul", &y, alpha)?;
                let above = m.with("Greater", x, 0.0)?;
                m.select(&above, x, &y)
            }
            "LeakyRelu" => {
                let y = m.with("Mul", x, alpha)?;
                let above = m.with("Greater", x, 0.0)?;
                m.select(&above, x, &y)
            }
            "ThresholdedRelu" => {
                let above = m.with("Greater", x, alpha)?;
                m.select_or(&above, x, 0.0)
            }
            same => m.one(same, x),
        }
    }
}

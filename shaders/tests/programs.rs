//! Generated programs, compared with the texts in `tests/programs`. `MINDIR_BLESS=1` writes those anew.

use std::path::Path;

use mindir_graph::DType;
use mindir_graph::task::{Binary, Instr, Program, Unary};
use mindir_shaders::Shader;
use mindir_shaders::map::{Map, Read};
use mindir_shaders::program::function;

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(format!("{name}.wgsl"));
    if std::env::var_os("MINDIR_BLESS").is_some() {
        std::fs::write(&path, text).expect("a writable snapshot");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, stored, "{name} differs; MINDIR_BLESS=1 accepts it");
}

#[test]
fn bias_and_gelu() {
    let mut p = Program::new();
    let (x, bias) = (p.input(0, DType::F32), p.input(1, DType::F32));
    let sum = p.binary(Binary::Add, x, bias);
    p.unary(Unary::Gelu, sum);
    check("bias_gelu", &function(&p, &[DType::F32, DType::F32]).unwrap());
}

#[test]
fn masked_scores() {
    let mut p = Program::new();
    let (x, mask) = (p.input(0, DType::F32), p.input(1, DType::Bool));
    let low = p.constant(f64::NEG_INFINITY, DType::F32);
    p.select(mask, low, x);
    let operands = vec![(DType::F32, Read::Dense), (DType::Bool, Read::Strided)];
    check("masked_scores", &Map { program: p, operands, write: Read::Dense, rank: 3 }.wgsl().unwrap().source);
}

#[test]
fn narrow_integers_wrap() {
    let mut p = Program::new();
    let x = p.input(0, DType::I8);
    let y = p.push(Instr::Int(7), DType::I8);
    let product = p.binary(Binary::Mul, x, y);
    p.cast(product, DType::U8);
    check("narrow_integers", &function(&p, &[DType::I8]).unwrap());
}

#[test]
fn what_wgsl_lacks_is_refused() {
    let refused = |p: &Program, inputs: &[DType]| function(p, inputs).unwrap_err().to_string();
    let mut p = Program::new();
    let x = p.input(0, DType::F64);
    p.unary(Unary::Exp, x);
    assert_eq!(refused(&p, &[DType::F64]), "f64 is not supported by WGSL");
    let mut p = Program::new();
    let x = p.input(0, DType::I32);
    p.unary(Unary::Exp, x);
    assert_eq!(refused(&p, &[DType::I32]), "there is no Exp of i32");
    assert_eq!(refused(&Program::new(), &[]), "a program without instructions");
}

//! `load_param_into_net` beside MindSpore's function, in cases that `tests/oracle/checkpoints.py --cases` has made.

use mindir_graph::graph::Param;
use mindir_graph::{DType, Tensor};
use mindir_loader::ckpt::{Checkpoint, LoadOptions, Value, load_param_into_net};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Case {
    params: Vec<(String, String, Vec<usize>)>,
    /// The value of each is its position, from 1.
    entries: Vec<(String, String, Vec<usize>)>,
    texts: Vec<String>,
    strict: bool,
    values: Option<Vec<f64>>,
    #[serde(default)]
    param_not_load: Vec<String>,
    #[serde(default)]
    ckpt_not_load: Vec<String>,
    error: Option<String>,
}

fn tensor(dtype: &str, shape: &[usize], value: usize) -> Tensor {
    let dtype = DType::from_name(dtype).unwrap();
    Tensor::from_f64s(dtype, shape, &vec![value as f64; shape.iter().product()]).unwrap()
}

#[test]
fn mindspore_does_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ckpt/load_param_into_net.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() >= 300);
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let param = |(name, dtype, shape): &(String, String, Vec<usize>)| Param {
            name: name.as_str().into(),
            tensor: tensor(dtype, shape, 0),
            mutable: false,
        };
        let mut params: Vec<Param> = case.params.iter().map(param).collect();
        let entries = case.entries.iter().enumerate().map(|(position, (name, dtype, shape))| {
            let is_text = case.texts.contains(name);
            let value = if is_text { Value::from("text") } else { tensor(dtype, shape, position + 1).into() };
            (name.clone(), value)
        });
        let checkpoint: Checkpoint = entries.collect();
        let outcome = load_param_into_net(&mut params, &checkpoint, LoadOptions { strict: case.strict });
        let values = || params.iter().map(|param| param.tensor.to_f64s().unwrap()[0]).collect::<Vec<f64>>();
        let same = match (&outcome, &case.error) {
            (Ok(loaded), None) => {
                Some(values()) == case.values
                    && loaded.param_not_load == case.param_not_load
                    && loaded.ckpt_not_load == case.ckpt_not_load
            }
            // What MindSpore says of a text under a name that only ends as a parameter's.
            (Ok(_), Some(error)) => error == "AttributeError",
            (Err(_), error) => error.as_deref() == Some("RuntimeError"),
        };
        if !same {
            wrong.push(format!("case {number}: {case:?}\n  {outcome:?} {:?}", values()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

//! Writes a model, MindIR or ONNX, as a MindIR file.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = paths.as_slice() else { return Err("usage: to_mindir IN OUT".into()) };
    let model = mindir_loader::load(from)?.model;
    mindir_loader::mindir::export(&model, to, &Default::default())?;
    Ok(())
}

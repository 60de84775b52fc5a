//! Prints the graphs of a model.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let model = mindir_loader::load(&path)?.model;
        for (number, graph) in model.graphs.iter().enumerate() {
            print!("{number}: {graph}");
        }
    }
    Ok(())
}

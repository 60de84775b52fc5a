use super::{digits, golden, mindir, model};

#[test]
fn goldens_agree() {
    for name in ["dense", "binary_int32", "cf_while", "counter", "cnn_dynamic", "bfloat16_weights"] {
        mindir(["compare", &model(name), &golden(name)]).with(0).says(&["equal", "max abs"]);
    }
}

#[test]
fn all_sets_count() {
    let json = mindir(["compare", &model("cf_while"), &golden("cf_while"), "--json"]).with(0).json();
    let sets: Vec<&str> = json["outputs"].as_array().unwrap().iter().map(|o| o["set"].as_str().unwrap()).collect();
    assert!([".", "case_1", "case_2"].iter().all(|s| sets.contains(s)), "{sets:?}");
    let steps = mindir(["compare", &model("counter"), &golden("counter"), "--json"]).with(0).json();
    assert!(steps["outputs"].as_array().unwrap().iter().any(|o| o["set"] == "after"));
}

#[test]
fn differences_are_shown_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let golden = golden("dense");
    for file in ["in_0.npy", "out_0.npy", "out_1.npy", "out_2.npy", "out_3.npy"] {
        std::fs::copy(format!("{golden}/{file}"), dir.path().join(file)).unwrap();
    }
    let path = dir.path().to_str().unwrap();
    mindir(["compare", &model("dense"), path]).with(0);
    let out = dir.path().join("out_1.npy");
    let mut bytes = std::fs::read(&out).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&9f32.to_le_bytes());
    std::fs::write(&out, bytes).unwrap();
    mindir(["compare", &model("dense"), path]).with(1).says(&["out_1", "DIFFERS", "1 of 4 differ", "1/18"]);
    let json = mindir(["compare", &model("dense"), path, "--json"]).with(1).json();
    assert_eq!(json["equal"], false);
    assert_eq!(json["outputs"][1]["difference"]["wrong"], 1);
    mindir(["compare", &model("dense"), path, "--atol", "100"]).with(0);
    mindir(["compare", &model("dense"), path, "--tolerance", "100"]).with(0);
}

#[test]
fn bisection_finds_the_first_node() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let nodes = dir.path().join("nodes");
    let path = dir.path().to_str().unwrap();
    mindir(["run", &lenet, "-i", &digits("two.png"), "-o", path, "--dump", nodes.to_str().unwrap()]).with(0);
    // The picture as an array: compare takes arrays only.
    std::fs::copy(dir.path().join("out_0.npy"), dir.path().join("in_0.npy")).unwrap();
    mindir(["compare", &lenet, path, "--bisect"]).with(2).complains(&["expected f32 [1,1,32,32]"]);
    picture_as_array(&dir.path().join("in_0.npy"));
    mindir(["compare", &lenet, path, "--bisect"]).with(0).says(&["equal:", "nodes agree"]);
    let index = std::fs::read_to_string(nodes.join("index.tsv")).unwrap();
    let victim: Vec<&str> = index.lines().nth(3).unwrap().split('\t').collect();
    let file = nodes.join(victim[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&1e3f32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    mindir(["compare", &lenet, path, "--bisect"]).with(1).says(&["first difference: ", victim[1]]);
}

/// Writes two.png as `[1, 1, 32, 32]` between 0 and 1.
fn picture_as_array(path: &std::path::Path) {
    let pixels = image::open(digits("two.png")).unwrap().to_luma8().into_raw();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 32, 32), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:117}\n");
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.bytes());
    pixels.iter().for_each(|p| bytes.extend((f32::from(*p) * (1.0 / 255.0)).to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

//! What may be an input, and what is said of things that may not.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use mindir::builder::Builder;
use mindir::preprocess::{Interpolation, Preprocess, Transform};
use mindir::{DType, Dim, Spec, Tensor, npy};

use super::{digits, golden, mindir, mindir_with_bytes, model, written};

fn at(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().into()
}

/// A model that hands on an input of this element type and shape, -1 being any length.
fn identity(dir: &tempfile::TempDir, dtype: DType, dims: &[i64]) -> String {
    let dims = dims.iter().map(|&d| usize::try_from(d).map_or(Dim::Unknown, Dim::Known)).collect();
    let mut b = Builder::new("identity");
    let x = b.input("x", Spec { dtype: Some(dtype), dims: Some(dims) });
    let y = b.op("Abs", [x.into()]).unwrap();
    written(dir, &b.finish(&[y]))
}

/// The sum of two inputs that share a dimension.
fn sum(dir: &tempfile::TempDir) -> String {
    let mut b = Builder::new("sum");
    let dims = [Dim::Named("batch".into()), Dim::Named("seq".into())];
    let mut input = |name: &str, dims: &[Dim]| {
        b.input(name, Spec { dtype: Some(DType::F32), dims: Some(dims.iter().cloned().collect()) })
    };
    let (x, y) = (input("x", &dims), input("y", &[dims[0].clone(), Dim::Known(1)]));
    let z = b.op("Add", [x.into(), y.into()]).unwrap();
    b.rename(&[(z, "total")]);
    b.specify(z, Spec { dtype: Some(DType::F32), dims: Some(dims.into_iter().collect()) });
    let path = at(dir, "sum.onnx");
    mindir::onnx::export(&b.finish(&[z]), &path, &Default::default()).unwrap();
    path
}

#[test]
fn dimensions_have_lengths_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let net = sum(&dir);
    let run = |shapes: &[&str]| {
        let flags = shapes.iter().flat_map(|shape| ["--shape", *shape]);
        mindir(["run", &net, "-i", "ones"].into_iter().chain(flags))
    };
    mindir(["inspect", &net]).with(0).says(&["x  f32 [batch,seq]", "y  f32 [batch,1]", "total  f32 [batch,seq]"]);
    let json = mindir(["inspect", &net, "--json"]).with(0).json();
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!(["batch", "seq"]));
    run(&["batch=2", "seq=3"]).with(0).says(&["total  f32 [2, 3]"]);
    run(&["batch=2", "x=2,5"]).with(0).says(&["total  f32 [2, 5]"]);
    run(&["batch=2"]).with(2).complains(&["input x", "--shape seq=…"]);
    run(&["batch=2", "seq=3", "x=4,3"]).with(2).complains(&["input x", "batch", "4", "2"]);
    run(&["batch=2", "batch=2"]).with(2).complains(&["batch=2", "already"]);
    run(&["batch=2,3"]).with(2).complains(&["length of dimension batch"]);
    run(&["bath=2"]).with(2).complains(&["bath", "batch"]);
    let [x, y] = [("x.npy", vec![2, 3]), ("y.npy", vec![4, 1])].map(|(file, shape)| {
        npy::write(at(&dir, file), &Tensor::zeros(DType::F32, &shape).unwrap()).unwrap();
        at(&dir, file)
    });
    let odd = ["dimension batch", "2 in x", "4 in y", "--shape"];
    mindir(["run", &net, "-i", &x, "-i", &y]).with(2).complains(&odd);
    mindir(["run", &net, "-i", &x, "-i", &y, "--shape", "x=2,3"]).with(2).complains(&["broadcast"]);
    let out = at(&dir, "out.npz");
    mindir(["run", &net, "-i", "ones", "--shape", "batch=1", "--shape", "seq=2", "-o", &out]).with(0);
    let arrays = npy::read_npz(Path::new(&out)).unwrap();
    assert_eq!(arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["total"]);
    let converted = at(&dir, "sum.mindir");
    mindir(["convert", &net, &converted]).with(0);
    mindir(["run", &converted, "-i", "ones", "--shape", "x=1,2", "--shape", "y=1,1", "-o", &out]).with(0);
    assert_eq!(npy::read_npz(Path::new(&out)).unwrap(), arrays);
    mindir(["check", &net, "--shape", "seq=4"]).with(0).says(&["f32 [2, 4], f32 [2, 1]"]);
}

/// The sum of an input with itself, turned, whose two dimensions have its own name.
fn square(dir: &tempfile::TempDir) -> String {
    let mut b = Builder::new("square");
    let dims = vec![Dim::Named("n".into()), Dim::Named("n".into())];
    let x = b.input("n", Spec { dtype: Some(DType::F32), dims: Some(dims.into_iter().collect()) });
    let y = b.op("Neg", [x.into()]).unwrap();
    let path = at(dir, "square.onnx");
    mindir::onnx::export(&b.finish(&[y]), &path, &Default::default()).unwrap();
    path
}

#[test]
fn what_is_wrong_with_a_dimension_is_told_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (net, square) = (sum(&dir), square(&dir));
    let x = at(&dir, "x.npy");
    npy::write(&x, &Tensor::zeros(DType::F32, &[2, 4]).unwrap()).unwrap();
    let said = ["dimension n is 2 and 4 in n, and has one length; give --shape n=DIMS"];
    mindir(["run", &square, "-i", &x]).with(2).complains(&said);
    mindir(["run", &square, "-i", &x, "--shape", "n=2,4"]).with(0);
    let said = ["--shape n=3: n is an input and has 2 dimensions"];
    mindir(["run", &square, "-i", "ones", "--shape", "n=3"]).with(2).complains(&said);
    let bench = ["bench", &net, "--time", "1ms", "--warmup", "0", "--batch", "2", "--shape"];
    let bench = |shape: &str| mindir(bench.into_iter().chain([shape]));
    bench("batch=3").with(2).complains(&["--shape batch=3: --batch says how long dimension batch is"]);
    bench("seq=3").with(0);
    let many = format!("x={}", vec!["1"; 30_000].join(","));
    for command in ["run", "bench"] {
        let ended =
            mindir([command, &net, "-i", "ones", "--shape", &many]).with(2).complains(&["at most 32 dimensions"]);
        assert!(ended.stderr.len() < 500, "{ended:#?}");
    }
    mindir(["run", &net, "-i", "ones", "--shape", "-x=2,3"]).with(2).complains(&["no input or dimension is called -x"]);
}

/// Pixels of one colour.
fn picture(path: &str, format: ImageFormat, (w, h): (u32, u32), colour: u8) {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(w, h, image::Rgb([colour; 3])).write_to(&mut bytes, format).unwrap();
    fs::write(path, bytes.into_inner()).unwrap();
}

fn says_mean(ended: super::Ended, mean: &str) {
    ended.with(0).says(&[&format!("mean {mean}")]);
}

#[test]
fn pictures_of_every_format_are_decoded_whatever_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[1, 3, 4, 4]);
    let formats = [
        ("p.png", ImageFormat::Png),
        ("p.jpg", ImageFormat::Jpeg),
        ("p.jpeg", ImageFormat::Jpeg),
        ("p.bmp", ImageFormat::Bmp),
        ("p.gif", ImageFormat::Gif),
        ("p.webp", ImageFormat::WebP),
        ("p.tif", ImageFormat::Tiff),
        ("P.TIFF", ImageFormat::Tiff),
        ("without_ending", ImageFormat::Bmp),
    ];
    let help = mindir(["run", "--help"]).with(0).stdout;
    for (name, format) in formats {
        let path = at(&dir, name);
        picture(&path, format, (4, 4), 255);
        says_mean(mindir(["run", &net, "-i", &path]), "1");
        if let Some((_, ending)) = name.split_once('.') {
            assert!(help.contains(&format!(".{}", ending.to_lowercase())), "{help}");
        }
    }
}

/// The first of two frames.
#[test]
fn of_an_animation_the_first_frame_counts() {
    use image::codecs::gif::GifEncoder;
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[1, 1, 2, 2]);
    let path = at(&dir, "two.gif");
    let mut encoder = GifEncoder::new(fs::File::create(&path).unwrap());
    for colour in [255, 0] {
        let frame = image::RgbaImage::from_pixel(2, 2, image::Rgba([colour, colour, colour, 255]));
        encoder.encode_frame(image::Frame::new(frame)).unwrap();
    }
    drop(encoder);
    says_mean(mindir(["run", &net, "-i", &path]), "1");
}

#[test]
fn several_pictures_are_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let [white, black, large] = ["w.png", "b.bmp", "large.png"].map(|name| at(&dir, name));
    picture(&white, ImageFormat::Png, (4, 4), 255);
    picture(&black, ImageFormat::Bmp, (4, 4), 0);
    picture(&large, ImageFormat::Png, (8, 6), 255);
    for first in [-1, 2] {
        let net = identity(&dir, DType::F32, &[first, 3, -1, -1]);
        mindir(["run", &net, "-i", &white, "-i", &black]).with(0).says(&["f32 [2, 3, 4, 4]", "mean 0.5"]);
        mindir(["run", &net, "-i", &format!("x={white}"), "-i", &format!("x={black}")]).with(0).says(&["mean 0.5"]);
        let mixed = ["run", &net, "-i", &white, "-i", &large];
        mindir(mixed).with(2).complains(&["large.png", "4×4", "8×6", "--resize"]);
        mindir(mixed.iter().chain(&["--resize"])).with(0).says(&["f32 [2, 3, 4, 4]", "mean 1"]);
    }
    let one = identity(&dir, DType::F32, &[1, 3, 4, 4]);
    mindir(["run", &one, "-i", &white, "-i", &black]).with(2).complains(&["takes 1 at once, found 2"]);
    let four = ["run", &one, "--shape", "4,3,4,4"];
    mindir(four.iter().chain(&["-i", &white, "-i", &white])).with(2).complains(&["takes 4 at once, found 2"]);
    let lenet = digits("lenet5_dynamic_batch.mindir");
    let said = mindir(["run", &lenet, "-i", &digits("two.png"), "-i", &digits("seven.png"), "--top", "1", "--json"]);
    let rows = said.with(0).json()["top"].clone();
    let best: Vec<u64> = rows.as_array().unwrap().iter().map(|r| r["classes"][0]["index"].as_u64().unwrap()).collect();
    assert_eq!(best, [2, 7]);
}

/// A model that hands on pictures, prepared by these transforms.
fn prepared(dir: &tempfile::TempDir, first: Dim, transforms: Vec<Transform>) -> String {
    let mut b = Builder::new("prepared");
    let dims = [first, Dim::Known(3), Dim::Unknown, Dim::Unknown];
    let x = b.input("x", Spec { dtype: Some(DType::F32), dims: Some(dims.into_iter().collect()) });
    let y = b.op("Abs", [x.into()]).unwrap();
    let mut model = b.finish(&[y]);
    model.preprocess.push(Preprocess { column: "image".into(), transforms });
    written(dir, &model)
}

#[test]
fn recorded_preprocessing_makes_batches_too() {
    let dir = tempfile::tempdir().unwrap();
    let [white, black] = ["w.png", "b.webp"].map(|name| at(&dir, name));
    picture(&white, ImageFormat::Png, (8, 6), 255);
    picture(&black, ImageFormat::WebP, (5, 5), 0);
    let resized = || vec![Transform::Resize(vec![4, 4], Interpolation::Linear), Transform::ToTensor(DType::F32)];
    for first in [Dim::Unknown, Dim::Known(2)] {
        let net = prepared(&dir, first, resized());
        mindir(["run", &net, "-i", &white, "-i", &black]).with(0).says(&["f32 [2, 3, 4, 4]", "mean 0.5"]);
    }
    let net = prepared(&dir, Dim::Known(1), resized());
    mindir(["run", &net, "-i", &white, "-i", &black]).with(2).complains(&["takes 1 at once, found 2"]);
    let net = prepared(&dir, Dim::Unknown, vec![Transform::ToTensor(DType::F32)]);
    let unlike = ["b.webp", "f32 [1, 3, 6, 8]", "f32 [1, 3, 5, 5]"];
    mindir(["run", &net, "-i", &white, "-i", &black]).with(2).complains(&unlike);
    mindir(["run", &net, "-i", &white, "-i", &black, "--resize"]).with(0).says(&["f32 [2, 3, 6, 8]"]);
}

#[test]
fn two_inputs_of_pictures_get_one_each_or_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut b = Builder::new("pair");
    let spec = Spec { dtype: Some(DType::F32), dims: Some([const { Dim::Unknown }; 4].into_iter().collect()) };
    let [x, y] = ["x", "y"].map(|name| b.input(name, spec.clone()));
    let sum = b.op("Sub", [x.into(), y.into()]).unwrap();
    let net = written(&dir, &b.finish(&[sum]));
    let [white, black] = ["w.png", "b.png"].map(|name| at(&dir, name));
    picture(&white, ImageFormat::Png, (2, 2), 255);
    picture(&black, ImageFormat::Png, (2, 2), 0);
    says_mean(mindir(["run", &net, "-i", &white, "-i", &black, "--rgb"]), "1");
    let three = ["run", &net, "--rgb", "-i", &white, "-i", &black, "-i", &black];
    mindir(three).with(2).complains(&["3 pictures for several inputs", "NAME=FILE"]);
}

/// A `.npy` file of this type with these elements.
fn array(path: &str, kind: &str, count: usize, elements: &[u8]) {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count},), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:117}\n");
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.bytes());
    bytes.extend(elements);
    fs::write(path, bytes).unwrap();
}

#[test]
fn arrays_of_other_types_say_how_to_convert_them() {
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[2]);
    let path = at(&dir, "x.npy");
    let numbers: [(&str, Vec<u8>); 5] = [
        ("<f8", [1f64, 3.0].into_iter().flat_map(f64::to_le_bytes).collect()),
        (">f8", [1f64, 3.0].into_iter().flat_map(f64::to_be_bytes).collect()),
        ("<i4", [1i32, 3].into_iter().flat_map(i32::to_le_bytes).collect()),
        (">i8", [1i64, 3].into_iter().flat_map(i64::to_be_bytes).collect()),
        ("|u1", vec![1, 3]),
    ];
    for (kind, elements) in numbers {
        array(&path, kind, 2, &elements);
        mindir(["run", &net, "-i", &path]).with(2).complains(&["x.npy", "expected f32", "--cast"]);
        says_mean(mindir(["run", &net, "-i", &path, "--cast"]), "2");
    }
    // The order of bytes is no difference.
    array(&path, ">f4", 2, &[1f32, 3.0].into_iter().flat_map(f32::to_be_bytes).collect::<Vec<_>>());
    says_mean(mindir(["run", &net, "-i", &path]), "2");
    array(&path, "<f8", 2, &[1e300f64, 0.0].into_iter().flat_map(f64::to_le_bytes).collect::<Vec<_>>());
    mindir(["run", &net, "-i", &path, "--cast"]).with(2).complains(&["x.npy", "which is no f32"]);
    let whole = identity(&dir, DType::I32, &[2]);
    array(&path, "<f8", 2, &[1.5f64, 0.0].into_iter().flat_map(f64::to_le_bytes).collect::<Vec<_>>());
    mindir(["run", &whole, "-i", &path, "--cast"]).with(2).complains(&["1.5", "which is no i32"]);
}

#[test]
fn what_is_no_input_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let run = |input: &str| mindir(["run", &lenet, "-i", input]);
    for seed in ["rand:abc", "rand:", "rand:1.5", "rand:99999999999999999999"] {
        run(seed).with(2).complains(&[seed, "the seed is no number from 0 to"]);
    }
    run(dir.path().to_str().unwrap()).with(2).complains(&["it is a folder without .npy"]);
    run(&golden("dense")).with(2).complains(&["it is a folder; arrays in it: in_0.npy, out_0.npy"]);
    run("/nowhere/at/all/x.npy").with(5).complains(&["x.npy: there is no folder /nowhere"]);
    run(&at(&dir, "x.npy")).with(5).complains(&["x.npy: there is no such file"]);
    mindir(["run", "/nowhere/at/all/m.mindir"]).with(5).complains(&["there is no folder /nowhere"]);
    let odd = at(&dir, "odd");
    fs::write(&odd, "hello").unwrap();
    run(&odd).with(4).complains(&["odd", "expected a .npy or .npz file or a picture", ".webp", "something else"]);
    run("=x.npy").with(2).complains(&["no input is called \"\""]);
    for [flag, name] in [["-o", "--output"], ["--dump", "--dump"], ["--labels", "--labels"]] {
        mindir(["run", &lenet, "-i", "ones", flag, ""]).with(2).complains(&["a value is required", name]);
    }
    mindir(["run", ""]).with(2).complains(&["a value is required", "<MODEL>"]);
}

#[test]
fn standard_input_is_a_model_or_an_input() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let bytes = fs::read(&lenet).unwrap();
    let expected = mindir(["run", &lenet, "-i", "ones"]).with(0).stdout;
    for name in ["-", "/dev/stdin"] {
        assert_eq!(mindir_with_bytes(&bytes, ["run", name, "-i", "ones"]).with(0).stdout, expected);
    }
    mindir_with_bytes(&bytes, ["inspect", "-"]).with(0).says(&["standard input", "f32 [1,1,32,32]"]);
    mindir_with_bytes(&bytes, ["plan", "-"]).with(0).says(&["Conv2D+ReLU"]);
    mindir_with_bytes(&bytes, ["bench", "-", "--time", "1ms", "--warmup", "0"]).with(0).says(&["p50"]);
    mindir_with_bytes(&bytes, ["check", "-", "-i", "ones"]).with(0).says(&["equal"]);
    mindir_with_bytes(&bytes, ["diff", "-", &lenet]).with(0);
    for out in ["c.mindir", "c.onnx"].map(|name| at(&dir, name)) {
        mindir_with_bytes(&bytes, ["convert", "-", &out]).with(0);
        let again = fs::read(&out).unwrap();
        mindir_with_bytes(&again, ["run", "-", "-i", "ones"]).with(0).says(&["f32 [1, 10]"]);
    }
    mindir_with_bytes(&fs::read(model("cf_while")).unwrap(), ["compare", "-", &golden("cf_while")]).with(0);
    let archive = at(&dir, "x.npz");
    let x = Tensor::zeros(DType::F32, &[1, 1, 32, 32]).unwrap();
    npy::write_npz(&archive, &[("arr_0".to_string(), x.clone())]).unwrap();
    npy::write(at(&dir, "x.npy"), &x).unwrap();
    let zeros = mindir(["run", &lenet, "-i", "zeros"]).with(0).stdout;
    for file in [archive, at(&dir, "x.npy")] {
        let bytes = fs::read(file).unwrap();
        assert_eq!(mindir_with_bytes(&bytes, ["run", &lenet, "-i", "-"]).with(0).stdout, zeros);
    }
    let seven = fs::read(digits("seven.png")).unwrap();
    mindir_with_bytes(&seven, ["run", &lenet, "-i", "-", "--top", "1"]).with(0).says(&["7  probability"]);
    mindir_with_bytes(&bytes, ["run", "-", "-i", "-"]).with(2).complains(&["standard input is the model"]);
    mindir_with_bytes(&bytes, ["run", &lenet, "-i", "-", "-i", "-"]).with(2).complains(&["several inputs"]);
    mindir_with_bytes(&bytes, ["diff", "-", "-"]).with(2).complains(&["two are compared"]);
    mindir_with_bytes(&bytes, ["bench", "-", "--worker"]).with(2).complains(&["--worker takes its turns"]);
    mindir_with_bytes(b"hello", ["run", &lenet, "-i", "-"]).with(4).complains(&["standard input", "something else"]);
}

#[test]
fn flags_without_effect_are_refused_or_warned_of() {
    let (lenet, seven) = (digits("lenet5.mindir"), digits("seven.png"));
    for command in ["run", "bench", "check"] {
        for flag in [&["--scale", "1"][..], &["--mean", "0"], &["--std", "1"], &["--resize"], &["--gray"]] {
            let args = [command, &lenet, "-i", "ones"].into_iter().chain(flag.iter().copied());
            mindir(args).with(2).complains(&[flag[0], "is about pictures, and no input is one"]);
        }
    }
    mindir(["check", &lenet, "--layout", "nhwc"]).with(2).complains(&["--layout is about pictures"]);
    mindir(["run", &lenet, "-i", &seven, "--cast"]).with(2).complains(&["--cast is about arrays"]);
    mindir(["run", &lenet, "-i", "ones", "-i", "zeros"]).with(2).complains(&["zeros", "another generator"]);
    // What agrees with the input is fine.
    mindir(["run", &lenet, "-i", &seven, "--shape", "1,1,32,32"]).with(0);
    let warned = |args: &[&str], what: &str| {
        let ended = mindir(args).with(0);
        assert!(ended.stderr.starts_with("warning: ") && ended.stderr.contains(what), "{ended:#?}");
        assert_eq!(mindir(args.iter().chain(&["-q"])).with(0).stderr, "");
    };
    let dir = tempfile::tempdir().unwrap();
    warned(&["convert", &lenet, &at(&dir, "a.mindir"), "--decrypt"], "--decrypt has no effect");
    warned(&["ckpt", "convert", &lenet, &at(&dir, "a.ckpt"), "--decrypt"], "--decrypt has no effect");
    warned(&["run", &lenet, "-i", &seven, "-i", "rand"], "every input is given");
    warned(&["run", &lenet, "-i", "ones", "--fallback", "deny"], "--fallback has no effect on the CPU");
    warned(&["run", &lenet, "-i", "ones", "--precision", "tf32"], "--precision tf32 has no effect on cpu");
    warned(&["plan", &lenet, "--why", "--json"], "--why has no effect");
    warned(&["plan", &lenet, "--why", "--html", &at(&dir, "a.html")], "--why has no effect");
    warned(&["inspect", &lenet, "--ops", "--json"], "--ops and --params have no effect");
    mindir(["inspect", &lenet, "--graph", "--functions"]).with(2);
    mindir(["inspect", &lenet, "--graph", "--json"]).with(2);
    mindir(["run", &lenet, "-i", "ones", "--key-mode", "AES-GCM"]).with(2).complains(&["--key-file"]);
    mindir(["bench", &lenet, "--worker", "--time", "1s"]).with(2);
    assert!(Path::new(&lenet).exists());
}

#[test]
fn pictures_are_turned_as_their_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[1, 3, 16, 8]);
    let path = at(&dir, "p.jpg");
    picture(&path, ImageFormat::Jpeg, (16, 8), 255);
    mindir(["run", &net, "-i", &path]).with(2).complains(&["expected a picture of 8×16"]);
    let jpeg = fs::read(&path).unwrap();
    // Number 6: the right side of what is stored is the top.
    let tag = [0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0];
    let exif = [b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0", &tag[..]].concat();
    fs::write(&path, [&jpeg[..2], &exif, &jpeg[2..]].concat()).unwrap();
    says_mean(mindir(["run", &net, "-i", &path]), "1");
}

#[test]
fn numbers_about_pictures_may_be_negative() {
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[1, 3, 4, 4]);
    let path = at(&dir, "p.png");
    picture(&path, ImageFormat::Png, (4, 4), 2);
    let run = |flags: &[&str]| mindir(["run", &net, "-i", &path].iter().chain(flags));
    says_mean(run(&["--scale", "-1"]), "2");
    says_mean(run(&["--scale", "-1/2"]), "1");
    says_mean(run(&["--scale", "1", "--mean", "-1,-1,-1", "--std", "-3"]), "1");
    run(&["--scale", "-x"]).with(2).complains(&["expected a finite number"]);
}

#[test]
fn pictures_keep_to_limits_and_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let net = identity(&dir, DType::F32, &[1, 3, 64, 64]);
    let path = at(&dir, "p.jpg");
    picture(&path, ImageFormat::Jpeg, (64, 64), 255);
    mindir(["run", &net, "-i", &path, "--max-memory", "10K"]).with(6);
    // The pixels fit, the input does not.
    mindir(["run", &net, "-i", &path, "--max-memory", "20K"]).with(6);
    mindir(["run", &net, "-i", &path]).with(0);
    let jpeg = fs::read(&path).unwrap();
    fs::write(&path, &jpeg[..jpeg.len() - 10]).unwrap();
    mindir(["run", &net, "-i", &path]).with(4).complains(&["p.jpg", "one that ends early"]);
    let large = at(&dir, "p.bmp");
    let [head, size] = [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &12_000u32.to_le_bytes()];
    fs::write(&large, [head, size, size, b"\x01\0\x18\0", &[0; 24]].concat()).unwrap();
    mindir(["run", &net, "-i", &large]).with(3).complains(&["a picture of 12000 × 12000 with 3 channels is too large"]);
    let wide = identity(&dir, DType::F32, &[1, 3, 20_000, 20_000]);
    picture(&path, ImageFormat::Jpeg, (64, 64), 255);
    let said = ["p.jpg: an input of 1 × 3 × 20000 × 20000 numbers is too large"];
    mindir(["run", &wide, "-i", &path, "--resize"]).with(3).complains(&said);
}

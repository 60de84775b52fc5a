//! Weights in the layouts of kernels that are kept in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use mindir::graph::Model;
use mindir::op::Const;
use mindir::{GraphCell, Options, Tensor};
use mindir_graph::builder::Builder;
use mindir_graph::graph::Arg;
use mindir_graph::{DType, Spec};

/// A product and convolutions of 3 × 3 and of single pixels, large enough to be kept.
fn model() -> Model {
    let mut b = Builder::new("net");
    let numbers = |dims: &[usize], seed: usize| {
        let count: usize = dims.iter().product();
        let data: Vec<f64> = (0..count).map(|i| ((i * 7919 + seed) % 2003) as f64 / 1001.0 - 1.0).collect();
        Tensor::from_f64s(DType::F32, dims, &data).unwrap()
    };
    let x = b.input("x", Spec::fixed(DType::F32, &[1, 128, 12, 12]));
    let w = b.constant(numbers(&[128, 128, 3, 3], 1));
    let pads: &[i64] = &[1, 1];
    let y = b.op("Conv2DExt", [x.into(), w.into(), Arg::Const(Const::None), Arg::from(pads), Arg::from(pads)]).unwrap();
    let w = b.constant(numbers(&[512, 128, 1, 1], 2));
    let y = b.op("Conv2DExt", [y.into(), w.into()]).unwrap();
    let y = b.op("Reshape", [y.into(), Arg::from(&[144i64, 512][..])]).unwrap();
    let w = b.constant(numbers(&[512, 256], 3));
    let y = b.op("MatMul", [y.into(), w.into()]).unwrap();
    b.finish(&[y])
}

fn result(folder: Option<&Path>, threads: usize) -> (GraphCell, Vec<u8>) {
    let options = Options { packed_weights: folder.map(PathBuf::from), threads: Some(threads), ..Options::default() };
    let cell = GraphCell::new(model(), options).unwrap();
    let data: Vec<f64> = (0..128 * 144).map(|i| (i % 97) as f64 / 48.0 - 1.0).collect();
    let x = Tensor::from_f64s(DType::F32, &[1, 128, 12, 12], &data).unwrap();
    let result = cell.run(&[x]).unwrap().remove(0).bytes().to_vec();
    (cell, result)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "packed"));
    files.sort();
    files
}

/// How many files of the folder this process has mapped.
#[cfg(target_os = "linux")]
fn mapped(folder: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    files(folder).iter().filter(|p| maps.contains(p.to_str().unwrap())).count()
}

#[cfg(target_os = "linux")]
#[test]
fn kept_weights_are_mapped_and_give_the_same_bits() {
    use std::os::unix::fs::PermissionsExt;

    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("not/yet");
    let (_plain, want) = result(None, 1);
    let first = result(Some(&folder), 2);
    assert_eq!(first.1, want);
    assert_eq!((files(&folder).len(), mapped(&folder)), (3, 0));
    drop(first);

    let again = result(Some(&folder), 1);
    assert_eq!(again.1, want);
    assert_eq!((files(&folder).len(), mapped(&folder)), (3, 3));
    drop(again);
    assert_eq!(mapped(&folder), 0);

    // A damaged file, a short one and one that others may write are not read; two of them are written anew.
    let kept: Vec<Vec<u8>> = files(&folder).iter().map(|p| fs::read(p).unwrap()).collect();
    let mut damaged = kept[0].clone();
    damaged[1000] ^= 1;
    fs::write(&files(&folder)[0], damaged).unwrap();
    fs::write(&files(&folder)[1], &kept[1][..100]).unwrap();
    fs::set_permissions(&files(&folder)[2], fs::Permissions::from_mode(0o666)).unwrap();
    let mended = result(Some(&folder), 1);
    assert_eq!((&mended.1, mapped(&folder)), (&want, 0));
    drop(mended);
    assert_eq!(kept, files(&folder).iter().map(|p| fs::read(p).unwrap()).collect::<Vec<_>>());

    // Whole files that have changed places are not read either.
    let swapped = [kept[1].clone(), kept[2].clone(), kept[0].clone()];
    files(&folder).iter().zip(swapped).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    assert_eq!(result(Some(&folder), 1).1, want);
}

/// Two products whose weights have one size.
#[test]
fn weights_of_one_size_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let product = |factor: f64| {
        let mut b = Builder::new("net");
        let x = b.input("x", Spec::fixed(DType::F32, &[1, 256]));
        let data: Vec<f64> = (0..256 * 512).map(|i| factor * (i % 89) as f64).collect();
        let w = b.constant(Tensor::from_f64s(DType::F32, &[256, 512], &data).unwrap());
        let y = b.op("MatMul", [x.into(), w.into()]).unwrap();
        let options = Options { packed_weights: Some(folder.path().into()), ..Options::default() };
        let cell = GraphCell::new(b.finish(&[y]), options).unwrap();
        cell.run(&[Tensor::from_f64s(DType::F32, &[1, 256], &[1.0; 256]).unwrap()]).unwrap().remove(0)
    };
    let first = product(1.0);
    let name = files(folder.path()).remove(0);
    let aside = folder.path().join("aside");
    fs::rename(&name, &aside).unwrap();
    let second = product(2.0);
    let other = files(folder.path()).remove(0);
    assert_eq!(fs::metadata(&other).unwrap().len(), fs::metadata(&aside).unwrap().len());
    fs::rename(&aside, &other).unwrap();
    assert_eq!((product(2.0), product(1.0)), (second, first));
}

#[test]
fn a_folder_that_cannot_be_written_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    assert_eq!(result(Some(&file), 1).1, result(None, 1).1);
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}

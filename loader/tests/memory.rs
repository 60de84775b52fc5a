//! Memory that reading takes, counted at the allocator.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use common::{data, field, model, model_with_attribute, number, read_bytes, read_path, tensor, varint};
use mindir_loader::ckpt::{self, ReadOptions};
use mindir_loader::mindir::WireModel;
use mindir_loader::{ErrorKind, Limits, LoadError};
use mindir_proto::mindir::{AttributeProto, GraphProto, NodeProto};
use mindir_proto::prost::Message;

/// Counts the bytes in use and the most that were in use.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    MOST.fetch_max(USED.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    // The default `realloc` allocates, copies and frees through the methods above, so that old and new block both count.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and returns the most memory that was in use above what was in use before.
fn most_used<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = USED.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    (result, (MOST.load(Relaxed) - before) as u64)
}

const MIB: u64 = 1 << 20;

/// Reads a file and checks the memory that this took: what the limits allow for its size, nearly nothing for a refused file.
fn read_bounded(what: &str, bytes: Vec<u8>) -> Result<WireModel, LoadError> {
    let len = bytes.len() as u64;
    let (outcome, used) = most_used(|| read_bytes(bytes));
    match &outcome {
        Ok(_) => assert!(used <= Limits::default().decoded_budget(len), "{what}: {used} bytes for a file of {len}"),
        Err(error) if error.kind() == ErrorKind::Limit => assert!(used < 65536, "{what}: {used} bytes to refuse"),
        Err(_) => {}
    }
    outcome
}

/// A model whose only graph has the given bytes.
fn with_graph(graph: &[u8]) -> Vec<u8> {
    [model(vec![]).encode_to_vec(), field(8, graph)].concat()
}

/// All checks are one test, because the counts belong to the whole process.
#[test]
fn memory_is_bounded() {
    million_empty_nodes_are_refused();
    million_empty_attributes_are_refused();
    as_many_messages_as_a_mebibyte_may_hold();
    the_estimate_bounds_the_use();
    weights_are_not_copied();
    a_million_entries_of_a_checkpoint_are_bounded();
    opening_a_checkpoint_reads_no_contents();
    writing_a_checkpoint_copies_nothing();
}

fn writing_a_checkpoint_copies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = mindir_graph::Tensor::zeros(mindir_graph::DType::F32, &[16 << 20]).unwrap();
    let checkpoint: ckpt::Checkpoint = [("w", tensor)].into_iter().collect();
    let mut formats = vec![ckpt::Format::Ckpt, ckpt::Format::Safetensors];
    formats.extend(cfg!(feature = "npy").then_some(ckpt::Format::Npz));
    for format in formats {
        let options = ckpt::WriteOptions { format: Some(format), crc: true, ..Default::default() };
        let (outcome, used) = most_used(|| ckpt::write(folder.path().join("w"), &checkpoint, &options));
        outcome.unwrap();
        assert!(used < MIB, "{used} bytes to write 64 MiB as {format}");
    }
}

/// Names and scalars of a million parameters.
fn a_million_entries_of_a_checkpoint_are_bounded() {
    let entry = |index: u32| {
        let tensor = [field(2, b"Float32"), field(3, &[0; 4])].concat();
        field(1, &[field(1, format!("p{index:07}").as_bytes()), field(2, &tensor)].concat())
    };
    let bytes: Vec<u8> = (0..1_000_000).flat_map(entry).collect();
    let len = bytes.len() as u64;
    let (found, used) = most_used(|| ckpt::read_bytes("f", bytes, &ReadOptions::default()).unwrap());
    assert_eq!(found.len(), 1_000_000);
    assert!(used <= Limits::default().decoded_budget(len), "{used} bytes for a file of {len}");
    drop(found);
    let tiny = field(1, &[]).repeat(1_000_000);
    let (outcome, used) = most_used(|| ckpt::read_bytes("f", tiny, &ReadOptions::default()));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Limit);
    assert!(used < 65536, "{used} bytes to refuse");
}

/// A file of a GiB, which has a hole where the contents are.
fn opening_a_checkpoint_reads_no_contents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.ckpt");
    const GIB: u64 = 1 << 30;
    let tensor_head = [number(1, GIB / 4), field(2, b"Float32"), vec![3 << 3 | 2], varint(GIB)].concat();
    let value_head = [field(1, b"w"), vec![2 << 3 | 2], varint(tensor_head.len() as u64 + GIB), tensor_head].concat();
    let head = [vec![1 << 3 | 2], varint(value_head.len() as u64 + GIB), value_head].concat();
    std::fs::write(&path, &head).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(head.len() as u64 + GIB).unwrap();
    let start = Instant::now();
    let (found, used) = most_used(|| ckpt::read(&path, &ReadOptions::default()).unwrap());
    let took = start.elapsed();
    assert_eq!(found.bytes(), GIB);
    assert!(used < 65536, "{used} bytes to open it");
    assert!(took < Duration::from_millis(50), "{took:?} to open it");
}

fn million_empty_nodes_are_refused() {
    let bytes = with_graph(&field(1, &[]).repeat(1_000_000));
    assert!(bytes.len() < 2 * MIB as usize);
    let error = read_bounded("nodes", bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

fn million_empty_attributes_are_refused() {
    let bytes = with_graph(&field(1, &field(5, &[]).repeat(1_000_000)));
    assert_eq!(read_bounded("attributes", bytes).unwrap_err().kind(), ErrorKind::Limit);
}

/// The file with the most messages of each kind that is still accepted takes no more than the bound.
fn as_many_messages_as_a_mebibyte_may_hold() {
    let list = |contents: &[u8], count: usize| contents.repeat(count);
    type Wrap = fn(&[u8]) -> Vec<u8>;
    let kinds: [(&str, Wrap, Vec<u8>); 8] = [
        ("nodes", |list| with_graph(list), field(1, &[])),
        ("parameterless inputs", |list| with_graph(list), field(5, &[])),
        ("attributes", |list| with_graph(&field(1, list)), field(5, &[])),
        ("tensors", |list| with_graph(&field(8, list)), field(12, &[])),
        ("graphs", |list| with_graph(&field(8, list)), field(13, &[])),
        ("names", |list| with_graph(&field(1, list)), field(1, b"x")),
        ("integers", |list| with_graph(&field(8, &field(10, list))), vec![0]),
        ("nested values", |list| with_graph(&field(8, list)), field(17, &field(17, &field(10, &[0])))),
    ];
    for (what, wrap, element) in kinds {
        let (mut accepted, mut refused) = (0, MIB as usize / element.len());
        while accepted + refused / 100 + 1 < refused {
            let count = (accepted + refused) / 2;
            match read_bounded(what, wrap(&list(&element, count))) {
                Ok(_) => accepted = count,
                Err(_) => refused = count,
            }
        }
        assert!(accepted > 1000, "{what}: {accepted}");
    }
}

fn the_estimate_bounds_the_use() {
    const MAPS: [usize; 2] = [5, 6];
    let nodes = |count: usize| {
        let attribute =
            AttributeProto { name: Some("shape".to_string()), ints: vec![1, 2, 3, 4, 5], ..Default::default() };
        let node = |index| NodeProto {
            name: Some(format!("net:node:{index}")),
            input: vec!["net:x".to_string(); 3],
            attribute: vec![attribute.clone(); index % 7],
            ..Default::default()
        };
        let mut model = model(vec![]);
        model.functions.push(GraphProto { node: (0..count).map(node).collect(), ..Default::default() });
        model.encode_to_vec()
    };
    let mut deep = AttributeProto::default();
    for _ in 0..50 {
        deep = AttributeProto { values: vec![deep], ..Default::default() };
    }
    let files = [
        nodes(1),
        nodes(5),
        nodes(1000),
        nodes(3000),
        model_with_attribute(deep).encode_to_vec(),
        [model(vec![]).encode_to_vec(), field(14, &[field(1, b"key"), field(2, b"value")].concat())].concat(),
        [
            model(vec![]).encode_to_vec(),
            (0..500u32).flat_map(|i| field(14, &field(1, i.to_string().as_bytes()))).collect(),
        ]
        .concat(),
        std::fs::read(data("cnn_dynamic.mindir")).unwrap(),
        std::fs::read(data("cf_while.mindir")).unwrap(),
        std::fs::read(data("io_const_dtypes.mindir")).unwrap(),
    ];
    for (position, bytes) in files.into_iter().enumerate() {
        let (outcome, used) = most_used(|| read_bytes(bytes));
        let report = outcome.unwrap().report;
        let weights = 200 * (report.misaligned_tensors + report.parameters);
        let estimate = report.census.decoded_bytes + weights + 4096;
        assert!(used <= estimate, "file {position}: {used} bytes where {estimate} were estimated");
        // Entries of the map are estimated for the worst tree.
        let tight = !MAPS.contains(&position);
        assert!(!tight || used * 4 >= estimate - 4096, "file {position}: {used} bytes where {estimate} were estimated");
    }
}

fn weights_are_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.mindir");
    // Of four alignments of the contents, one is right.
    let reports = (0..4).map(|padding| {
        let mut model = model(vec![tensor("net:w", &[4 << 20], vec![0; 16 << 20])]);
        model.doc_string = Some("x".repeat(padding));
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let (outcome, used) = most_used(|| read_path(&path));
        let report = outcome.unwrap().report;
        assert!(used <= 65536, "{used} bytes");
        report
    });
    assert_eq!(reports.map(|report| report.in_place_tensors).sum::<u64>(), 1);
}

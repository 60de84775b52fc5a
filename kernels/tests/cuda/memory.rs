//! Tensors in the device's memory: the way there and back, and slices of the caller's.

use std::any::Any;
use std::sync::Arc;

use mindir_graph::random::SplitMix;
use mindir_graph::{DType::F32, Fact};
use mindir_kernels::cuda::CudaTensor;
use mindir_kernels::device::{Device, DeviceTensor, Input, Output, Weights};

use super::{Noise, alone, device, left, open, two_steps};

#[test]
fn tensors_of_any_size_go_there_and_back() {
    let Some(device) = device() else { return };
    let memory = device.own_memory().expect("memory of its own");
    // More than is staged between two others, then more than is left.
    let counts = [3, 2 << 20, 1000, 900_000, 200_000, 0, 7];
    let facts = counts.map(|n| Fact::new(F32, &[n]));
    let tensors = facts.each_ref().map(|fact| memory.alloc(fact).expect("a tensor"));
    let sent: Vec<Vec<u8>> =
        facts.iter().zip(1..).map(|(f, k)| (0..f.bytes()).map(|i| (i * k) as u8).collect()).collect();
    std::thread::scope(|scope| {
        // Who finds the staging memory in use goes without.
        scope.spawn(|| {
            let other = memory_of(1 << 18);
            for _ in 0..20 {
                other();
            }
        });
        let uploads = sent.iter().zip(&tensors).map(|(bytes, t)| (&bytes[..], &**t));
        memory.upload(&uploads.collect::<Vec<_>>()).expect("an upload");
        let mut got: Vec<Vec<u8>> = sent.iter().map(|bytes| vec![0; bytes.len()]).collect();
        let downloads = tensors.iter().zip(&mut got).map(|(t, bytes)| (&**t, &mut bytes[..]));
        memory.download(&mut downloads.collect::<Vec<_>>()).expect("a download");
        assert!(got == sent);
    });
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    if std::env::var_os("MINDIR_ALONE").is_none() {
        return if device().is_some() {
            alone("memory::a_run_that_fails_leaves_nothing", &[("MINDIR_EMULATION_BYTES", "100000")])
        };
    }
    let device = open(None).expect("a device");
    let memory = device.own_memory().expect("memory of its own");
    let x = Noise(SplitMix(6)).tensor(F32, &[5000], -2.0, 2.0);
    // The tensors have room, the slot has not.
    let stage = two_steps(&x, 80_000);
    let program = stage.clone().build(&device, &Weights::default()).expect("a program");
    let mut bytes = vec![0; 20_000];
    let facts = (&stage.inputs[..], &stage.outputs[..]);
    let error = memory.run_bytes(program.session().as_mut(), facts, &[x.bytes()], &mut [&mut bytes[..]]);
    let text = error.expect_err("80000 bytes").to_string();
    assert!(text.contains("no room for 80000 bytes") && text.ends_with("for net/Square"), "{text}");
    let error = memory.alloc(&Fact::new(F32, &[30_000])).expect_err("120000 bytes").to_string();
    assert!(error.contains("no room for 120000 bytes"), "{error}");
    drop(device);
    assert_eq!(left::left(), 0);
}

/// Sends so many elements there and back.
fn memory_of(count: usize) -> impl Fn() {
    move || {
        let memory = device().and_then(|device| device.own_memory()).expect("memory of its own");
        let x = Noise(SplitMix(4)).tensor(F32, &[count], -2.0, 2.0);
        let tensor = memory.alloc(&x.fact()).expect("a tensor");
        memory.upload(&[(x.bytes(), &*tensor)]).expect("an upload");
        let mut got = vec![0; x.bytes().len()];
        memory.download(&mut [(&*tensor, &mut got[..])]).expect("a download");
        assert!(got == x.bytes()[..]);
    }
}

#[test]
fn slices_are_handed_in_and_taken_out_without_a_copy() {
    let Some(device) = device() else { return };
    let x = Noise(SplitMix(5)).tensor(F32, &[1000], -2.0, 2.0);
    let stream = device.stream();
    let given = stream.clone_htod(&x.bytes()[..]).expect("a slice");
    let from = device.tensor(x.fact(), given).expect("a tensor");
    // SAFETY: it is written whole before it is read.
    let given = unsafe { stream.alloc::<u8>(4000) }.expect("a slice");
    let to = device.tensor(x.fact(), given).expect("a tensor");
    let place = to.address();
    let mut session = two_steps(&x, 4000).build(device, &Weights::default()).expect("a program").session();
    session.run(&[Input::Device(&from)], &mut [Output::Device(&to)], None).expect("a run");
    session.wait().expect("an end");
    let tensor: Arc<dyn DeviceTensor> = Arc::new(to);
    let tensor = (tensor as Arc<dyn Any + Send + Sync>).downcast::<CudaTensor>().expect("a tensor of this device");
    assert_eq!(tensor.slice().num_bytes(), 4000);
    let slice = Arc::into_inner(tensor).expect("one holder").into_slice();
    let got: Vec<f32> =
        stream.clone_dtoh(&slice).expect("bytes").chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    assert!(got.iter().zip(x.view::<f32>().expect("numbers")).all(|(y, x)| *y == -(x * x)));
    assert_eq!(device.tensor(x.fact(), slice).expect("a tensor").address(), place);
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let Some(device) = device() else { return };
    let error = |slice| device.tensor(Fact::new(F32, &[10]), slice).expect_err("an error").to_string();
    let short = device.stream().alloc_zeros::<u8>(39).expect("a slice");
    assert_eq!(error(short), "cuda: a slice of 39 bytes for f32 [10], which needs 40");
    let other = device.stream().context().new_stream().expect("a stream");
    let foreign = other.alloc_zeros::<u8>(40).expect("a slice");
    assert_eq!(error(foreign), "cuda: a slice of another stream, expected one of the device's");
}

//! Reads and writes beside a buffer or a shared array, which g++'s sanitizer finds in kernels on the emulating driver.

use std::ffi::{CString, c_void};
use std::process::{Command, Output};

use cudarc::driver::{CudaContext, DevicePtr, result as driver};
use cudarc::nvrtc::{Ptx, result, sys};

use super::emulation;

/// How long the process with the sanitizer may take.
const SECONDS: &str = "1800";

/// Writes the sum of a buffer element and of a shared one; there are four of each.
const SUM: &str = r#"
extern "C" __global__ void kernel(unsigned read, unsigned shared, unsigned write, const float* x, float* y) {
    __shared__ float s[4];
    s[threadIdx.x] = 1;
    __syncthreads();
    y[write] = x[read] + s[shared];
}
"#;

/// Tests of this binary that match, in a process where the sanitizer looks at addresses; `None` if there is no sanitizer.
fn sanitized(tests: &[&str], variables: &[(&str, &str)]) -> Option<Output> {
    let found = Command::new("g++").arg("-print-file-name=libasan.so").output().ok()?;
    let library = String::from_utf8(found.stdout).ok()?.trim().to_string();
    if !std::path::Path::new(&library).is_absolute() {
        let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("cuda"));
        assert!(!required, "MINDIR_REQUIRE asks for cuda: there is no libasan.so");
        println!("skipped: there is no libasan.so");
        return None;
    }
    let mut child = Command::new("timeout");
    child.arg(SECONDS).arg(std::env::current_exe().expect("a path")).args(tests);
    child.env("MINDIR_SANITIZE", "address").env("LD_PRELOAD", library);
    child.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0").envs(variables.iter().copied());
    Some(child.output().expect("a process"))
}

/// Machine code of a text.
fn compiled(source: &str) -> Vec<u8> {
    let program = result::create_program(&CString::new(source).expect("a text"), None).expect("a program");
    // SAFETY: the program was created above.
    unsafe { result::compile_program(program, &["--gpu-architecture=sm_90"]) }.expect("code");
    let mut size = 0;
    // SAFETY: the program was compiled, and `size` takes a number.
    unsafe { sys::nvrtcGetCUBINSize(program, &mut size) }.result().expect("a size");
    let mut code = vec![0u8; size];
    // SAFETY: the program was compiled, and the buffer has as many bytes as the code.
    unsafe { sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()) }.result().expect("code");
    code
}

/// Launches [`SUM`] with the elements that `MINDIR_TOUCH` names, in a process of its own.
#[test]
fn touch() {
    let Ok(elements) = std::env::var("MINDIR_TOUCH") else { return };
    emulation::load().expect("an emulation");
    let mut elements: Vec<u32> = elements.split(',').map(|n| n.parse().expect("a number")).collect();
    let context = CudaContext::new(0).expect("a device");
    let stream = context.default_stream();
    let module = context.load_module(Ptx::from_binary(compiled(SUM))).expect("a module");
    let kernel = module.load_function("kernel").expect("a kernel");
    let [x, y] = [0, 1].map(|_| stream.clone_htod(&[2f32; 4]).expect("a buffer"));
    let mut addresses = [&x, &y].map(|buffer| buffer.device_ptr(&stream).0);
    let numbers = elements.iter_mut().map(|n| std::ptr::from_mut(n).cast::<c_void>());
    let mut args: Vec<*mut c_void> = numbers.collect();
    args.extend(addresses.iter_mut().map(|address| std::ptr::from_mut(address).cast::<c_void>()));
    // SAFETY: the arguments are of the kernel's types. What it touches besides its buffers ends this process.
    let launched =
        unsafe { driver::launch_kernel(kernel.cu_function(), (1, 1, 1), (4, 1, 1), 0, stream.cu_stream(), &mut args) };
    launched.expect("a launch");
    assert_eq!(stream.clone_dtoh(&y).expect("numbers")[elements[2] as usize], 3.0);
}

#[test]
fn what_is_touched_beside_a_buffer_is_found() {
    if super::device().is_none() {
        return;
    }
    let run = |elements: &str| sanitized(&["address::touch", "--exact"], &[("MINDIR_TOUCH", elements)]);
    let Some(inside) = run("3,3,3") else { return };
    let said = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(inside.status.success() && said(&inside).contains("1 passed"), "{}", said(&inside));
    for (elements, found) in
        [("4,3,3", "heap-buffer-overflow"), ("3,4,3", "global-buffer-overflow"), ("3,3,4", "heap-buffer-overflow")]
    {
        let output = run(elements).expect("a process");
        assert!(!output.status.success() && said(&output).contains(found), "{elements}: {}", said(&output));
    }
}

/// Every other test of this binary, with threads in one order.
#[test]
#[ignore = "takes minutes"]
fn kernels_touch_nothing_beside_their_buffers() {
    if super::device().is_none() {
        return;
    }
    let Some(output) = sanitized(&["--skip", "address::", "--skip", "threads_of_a_block"], &[]) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" 0 failed"), "{said}\n{error}");
}

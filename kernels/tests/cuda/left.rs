//! What the emulating driver holds.

use std::ffi::{c_char, c_int, c_long, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Allocations, streams, events, graphs and modules that nobody has freed. The driver is loaded.
pub fn left() -> i64 {
    // SAFETY: the name ends with 0, and the library is loaded already.
    let library = unsafe { dlopen(c"libcuda.so".as_ptr(), 2) };
    assert!(!library.is_null(), "there is no driver");
    // SAFETY: the library is loaded, and the name ends with 0.
    let symbol = unsafe { dlsym(library, c"emulation_left".as_ptr()) };
    assert!(!symbol.is_null(), "the driver is no emulation");
    // SAFETY: this is the type of the function with this name.
    let left = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_long>(symbol) };
    left()
}

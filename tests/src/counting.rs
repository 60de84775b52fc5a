//! An allocator that counts what a test asks for: `#[global_allocator] static ALLOCATOR: Counting = Counting;`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counted for the whole process.
pub struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The bytes that were in use when it began, see [`Counting::watch`].
pub struct Watch {
    before: usize,
}

impl Watch {
    /// The most bytes that were in use at one time since, beyond those at the beginning.
    pub fn peak(&self) -> usize {
        PEAK.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

impl Counting {
    /// Allocations until now, and their bytes.
    pub fn totals() -> [usize; 2] {
        [COUNT.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed)]
    }

    /// Bytes that are in use now.
    pub fn in_use() -> usize {
        IN_USE.load(Ordering::Relaxed)
    }

    /// Begins to watch for the most bytes in use; one watch at a time.
    pub fn watch() -> Watch {
        PEAK.store(Self::in_use(), Ordering::Relaxed);
        Watch { before: Self::in_use() }
    }

    /// Counts `layout`, which the system has given at `at`, or has not.
    fn given(at: *mut u8, layout: Layout) -> *mut u8 {
        if !at.is_null() {
            COUNT.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(layout.size(), Ordering::Relaxed);
            PEAK.fetch_max(IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(), Ordering::Relaxed);
        }
        at
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        Self::given(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        Self::given(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

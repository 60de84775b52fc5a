//! Gives memory back to the system that will not be read again soon.

/// Ranges below this length are kept.
const SMALL: usize = 1 << 16;

/// Tells the system that `bytes` will not be read again soon. Pages of a mapped file leave memory and come back from the
/// file when they are read; other memory stays. Contents never change.
#[cfg(target_os = "linux")]
pub(crate) fn release(bytes: &[u8]) {
    if bytes.len() < SMALL {
        return;
    }
    let range = bytes.as_ptr_range();
    let (start, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
    if start < end {
        let first = range.start.wrapping_add(start - range.start.addr()).cast_mut().cast();
        // SAFETY: the pages lie inside `bytes`. `MADV_PAGEOUT` moves pages out of memory without changing what is read from
        // them, so the shared borrow of `bytes` stays true; a failure changes nothing.
        unsafe { libc::madvise(first, end - start, libc::MADV_PAGEOUT) };
    }
}

#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// Tells the system that `bytes` will not be read again soon; does nothing here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn release(bytes: &[u8]) {
    let _ = bytes.len() < SMALL;
}

#[cfg(test)]
mod tests {
    #[test]
    fn contents_stay() {
        let data: Vec<u8> = (0..1 << 18).map(|i| i as u8).collect();
        super::release(&data);
        assert!(data.iter().enumerate().all(|(i, &x)| x == i as u8));
    }
}

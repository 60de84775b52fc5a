//! What was made of a tensor's elements, kept with them.
//!
//! A form is made once, however many callers ask for it at the same time, and shared as long as one of them holds it. The
//! tensor itself holds no form, so that forms that nobody uses take no memory, and a form is never found for other elements
//! than those it was made of.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::Fact;
use crate::bounds::{self, Exceeded};
use crate::tensor::{Data, Tensor};

/// Tensors of at most this many bytes are told apart by their contents, others by where their elements are kept.
const SMALL: usize = 64 << 10;

/// Which tensor it is.
enum Identity {
    /// One with these contents.
    Contents(Fact, Bytes),
    /// The one whose elements are these.
    Elements(Fact, Weak<Data>),
}

impl Identity {
    fn of(tensor: &Tensor) -> Identity {
        if is_small(tensor) {
            Identity::Contents(tensor.fact(), Bytes::copy_from_slice(tensor.bytes()))
        } else {
            Identity::Elements(tensor.fact(), Arc::downgrade(tensor.data()))
        }
    }

    fn is(&self, tensor: &Tensor) -> bool {
        match self {
            Identity::Contents(fact, bytes) => *fact == tensor.fact() && bytes == tensor.bytes(),
            // The weak reference keeps the address from being used again.
            Identity::Elements(fact, data) => *fact == tensor.fact() && data.as_ptr() == Arc::as_ptr(tensor.data()),
        }
    }
}

/// Whether an equal tensor made anew counts as the same when forms are looked up.
pub(crate) fn is_small(tensor: &Tensor) -> bool {
    tensor.bytes().len() <= SMALL
}

/// What tells a form from the others of the same elements.
struct Key {
    kind: TypeId,
    how: Box<str>,
    of: Fact,
    with: Vec<Identity>,
}

impl Key {
    fn new<T: 'static>(tensor: &Tensor, how: &str, with: &[&Tensor]) -> Key {
        let with = with.iter().map(|t| Identity::of(t)).collect();
        Key { kind: TypeId::of::<T>(), how: how.into(), of: tensor.fact(), with }
    }

    fn is<T: 'static>(&self, tensor: &Tensor, how: &str, with: &[&Tensor]) -> bool {
        self.kind == TypeId::of::<T>()
            && *self.how == *how
            && self.of == tensor.fact()
            && self.with.len() == with.len()
            && self.with.iter().zip(with).all(|(known, t)| known.is(t))
    }
}

/// Holds the form if somebody else does; locked while it is made.
type Slot = Arc<Mutex<Weak<dyn Any + Send + Sync>>>;

/// The forms of one tensor's elements.
#[derive(Default)]
pub(crate) struct Forms(Mutex<Vec<(Key, Slot)>>);

impl Forms {
    /// The form of `tensor` that `how` and `with` name; `make` makes it if nobody holds it.
    pub fn get<T: Send + Sync + 'static, E: From<Exceeded>>(
        &self,
        tensor: &Tensor,
        how: &str,
        with: &[&Tensor],
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot::<T>(tensor, how, with);
        let mut held = bounds::lock(&slot)?;
        if let Some(found) = held.upgrade().and_then(|form| form.downcast::<T>().ok()) {
            return Ok(found);
        }
        let made = Arc::new(make()?);
        let weak: Weak<T> = Arc::downgrade(&made);
        *held = weak;
        Ok(made)
    }

    fn slot<T: Send + Sync + 'static>(&self, tensor: &Tensor, how: &str, with: &[&Tensor]) -> Slot {
        let mut slots = lock(&self.0);
        // What nobody holds and nobody is making goes.
        slots.retain(|(_, slot)| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        if let Some((_, slot)) = slots.iter().find(|(key, _)| key.is::<T>(tensor, how, with)) {
            return slot.clone();
        }
        let nothing: Weak<T> = Weak::new();
        let slot: Slot = Arc::new(Mutex::new(nothing));
        slots.push((Key::new::<T>(tensor, how, with), slot.clone()));
        slot
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::DType;

    fn large(value: f32) -> Tensor {
        Tensor::from_vec(&[SMALL], vec![value; SMALL]).unwrap()
    }

    fn form(t: &Tensor, how: &str, with: &[&Tensor], value: usize) -> Arc<usize> {
        t.form(how, with, || Ok::<_, Exceeded>(value)).unwrap()
    }

    #[test]
    fn clones_share_a_form_as_long_as_it_is_held() {
        let t = large(1.0);
        let first = form(&t, "a", &[], 1);
        assert_eq!(*form(&t.clone(), "a", &[], 2), 1);
        assert_eq!(*form(&t, "b", &[], 3), 3);
        assert_eq!(*form(&t.reshape(&[2, SMALL / 2]).unwrap(), "a", &[], 4), 4, "another shape");
        assert_eq!(*t.form("a", &[], || Ok::<_, Exceeded>(5u8)).unwrap(), 5, "another type");
        assert_eq!(*form(&large(1.0), "a", &[], 6), 6, "other elements, equal or not");
        drop(first);
        assert_eq!(*form(&t, "a", &[], 7), 7);
        let held = form(&t, "c", &[], 8);
        assert_eq!(t.data().forms.len(), 1, "what nobody holds is forgotten");
        drop(held);
    }

    #[test]
    fn other_tensors_belong_to_the_form() {
        let t = large(1.0);
        let (x, y) = (large(2.0), large(2.0));
        let held = form(&t, "a", &[&x], 1);
        assert_eq!(*form(&t, "a", &[&x.clone()], 2), 1);
        assert_eq!(*form(&t, "a", &[&y], 3), 3, "large tensors are told apart by where they are");
        let small = |v: f32| Tensor::vector(&[v]);
        let also = form(&t, "a", &[&small(1.0)], 4);
        assert_eq!(*form(&t, "a", &[&small(1.0)], 5), 4, "small ones by what they hold");
        assert_eq!(*form(&t, "a", &[&small(-1.0)], 6), 6);
        assert_eq!(*form(&t, "a", &[&small(0.0).cast(DType::I32).unwrap()], 7), 7);
        drop((held, also));
    }

    #[test]
    fn addresses_that_are_used_again_are_no_identity() {
        let t = large(1.0);
        let held: Vec<_> = (0..100).map(|i| form(&t, "a", &[&large(i as f32)], i)).collect();
        assert!(held.iter().enumerate().all(|(i, form)| **form == i));
    }

    #[test]
    fn threads_make_a_form_once_and_errors_are_not_kept() {
        let t = large(1.0);
        assert_eq!(t.form("a", &[], || Err::<usize, _>(Exceeded::system(1))), Err(Exceeded::system(1)));
        let made = AtomicUsize::new(0);
        let make = || Ok::<_, Exceeded>(made.fetch_add(1, Ordering::Relaxed));
        let forms: Vec<Arc<usize>> = std::thread::scope(|s| {
            let threads: Vec<_> = (0..8).map(|_| s.spawn(|| t.form("a", &[], make).unwrap())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(forms.iter().all(|f| Arc::ptr_eq(f, &forms[0])));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}

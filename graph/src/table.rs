//! Lists whose elements are found by ids.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::slice::{Iter, IterMut};

/// The number of an element of a [`Table`].
pub trait Id: Copy {
    /// The id with this number.
    fn new(at: usize) -> Self;

    /// Its number.
    fn at(self) -> usize;
}

/// Something for each id of a kind.
///
/// A table hands out the ids of what is added to it, and makes the tables of what else is known of those ids, which are as
/// long. An id indexes all of these tables. Any other id panics, so an id that comes from elsewhere goes through `find`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<I, T> {
    items: Vec<T>,
    ids: PhantomData<I>,
}

impl<I: Id, T> Table<I, T> {
    /// Adds an element.
    pub fn add(&mut self, item: T) -> I {
        self.items.push(item);
        I::new(self.items.len() - 1)
    }

    /// The element of an id that need not be one of these.
    pub fn find(&self, id: I) -> Option<&T> {
        self.items.get(id.at())
    }

    /// The element of an id that need not be one of these.
    pub fn find_mut(&mut self, id: I) -> Option<&mut T> {
        self.items.get_mut(id.at())
    }

    /// Forgets the elements from number `len` on, whose ids nothing holds any more.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// All ids, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::new)
    }

    /// `item` for each id.
    pub fn filled<U: Clone>(&self, item: U) -> Table<I, U> {
        vec![item; self.items.len()].into()
    }

    /// What `f` makes of each element.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Table<I, U> {
        self.items.iter().map(f).collect()
    }
}

impl<I, T> Table<I, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements in the order of their ids.
    pub fn iter(&self) -> Iter<'_, T> {
        self.items.iter()
    }

    /// The elements in the order of their ids.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.items.iter_mut()
    }
}

impl<I: Id, T> Index<I> for Table<I, T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "the id is one of this table or of one that is as long")]
    fn index(&self, id: I) -> &T {
        &self.items[id.at()]
    }
}

impl<I: Id, T> IndexMut<I> for Table<I, T> {
    #[expect(clippy::indexing_slicing, reason = "the id is one of this table or of one that is as long")]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.at()]
    }
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<I, T> From<Vec<T>> for Table<I, T> {
    fn from(items: Vec<T>) -> Self {
        Table { items, ids: PhantomData }
    }
}

impl<I, T> From<Table<I, T>> for Vec<T> {
    fn from(table: Table<I, T>) -> Self {
        table.items
    }
}

impl<I, T> FromIterator<T> for Table<I, T> {
    fn from_iter<X: IntoIterator<Item = T>>(items: X) -> Self {
        Vec::from_iter(items).into()
    }
}

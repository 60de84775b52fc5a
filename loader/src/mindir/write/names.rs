//! Names of a file: one table over all graphs.

use std::collections::HashMap;

use crate::limits::MOST_NAME;

/// The names given so far.
#[derive(Default)]
pub(super) struct Names {
    /// How often a name was asked for.
    given: HashMap<String, usize>,
}

impl Names {
    /// A name that readers refuse.
    pub(super) fn too_long(&self) -> Option<&str> {
        self.given.keys().map(String::as_str).find(|name| name.len() > MOST_NAME)
    }

    /// `wanted`, or if it is taken `wanted` with a number.
    pub(super) fn unique(&mut self, wanted: String) -> String {
        let mut name = wanted.clone();
        while let Some(count) = self.given.get_mut(&name) {
            *count += 1;
            name = format!("{wanted}_{count}");
        }
        self.given.insert(name.clone(), 0);
        if name != wanted {
            // The next one starts where this one ended.
            let count = self.given.get(&wanted).copied().unwrap_or_default();
            self.given.insert(wanted, count);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_given_once() {
        let mut names = Names::default();
        let given: Vec<_> = ["a", "a_1", "a", "a", "b"].into_iter().map(|name| names.unique(name.into())).collect();
        assert_eq!(given[..2], ["a", "a_1"]);
        assert_eq!(given.iter().collect::<std::collections::BTreeSet<_>>().len(), given.len(), "{given:?}");
        assert_eq!(given[4], "b");
    }
}

//! A small cache of one thread, for values that call after call needs.

use std::cell::RefCell;

/// Begun anew when it is full, so a search in it stays short.
#[derive(Debug)]
pub(super) struct Recent<T> {
    values: RefCell<Vec<T>>,
    capacity: usize,
}

impl<T: Clone> Recent<T> {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { values: RefCell::new(Vec::new()), capacity }
    }

    /// The first value that matches, or else a new one. `make` must not use this cache.
    pub(super) fn find_or_make(&self, matches: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> T {
        let mut values = self.values.borrow_mut();
        if let Some(found) = values.iter().find(|value| matches(value)) {
            return found.clone();
        }
        if values.len() == self.capacity {
            values.clear();
        }
        let value = make();
        values.push(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_until_the_cache_is_full() {
        let recent = Recent::new(2);
        let made = RefCell::new(Vec::new());
        let get = |key: u8| {
            recent.find_or_make(
                |known| *known == key,
                || {
                    made.borrow_mut().push(key);
                    key
                },
            )
        };
        for key in [1, 1, 2, 1, 3, 3, 1] {
            assert_eq!(get(key), key);
        }
        assert_eq!(*made.borrow(), [1, 2, 3, 1]);
        assert_eq!(recent.values.borrow().len(), 2);
    }
}

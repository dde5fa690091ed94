//! Memory that is freed in the background.

/// From this many parts on, work on them is worth a thread.
pub(super) const MANY: usize = 1000;

/// Frees what has so many parts; many of them on a thread of their own, for which nothing waits.
pub(super) fn free<T: Send + 'static>(parts: usize, value: T) {
    if parts >= MANY {
        std::thread::spawn(move || drop(value));
    }
}

//! Bounds the memory of request bodies over all connections of a listener. Memory is taken as a
//! body arrives, not as its length is announced.

use std::cell::Cell;
use std::rc::Rc;

/// The first bytes of each body are not counted: the limit of connections bounds them. So small
/// requests are served while large ones stall.
const FREE: usize = 16 << 10;
/// The smallest step by which a body's buffer grows.
const STEP: usize = 8 << 10;

#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
}

/// The part of the budget that one body holds until it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Rc<Budget>,
    taken: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Self { left: Cell::new(bytes) })
    }

    pub fn share(self: &Rc<Self>) -> Share {
        Share { budget: Rc::clone(self), taken: 0 }
    }
}

impl Share {
    /// Reserves room in a body of at most `most` bytes for the next read; false where the budget is
    /// exhausted.
    #[must_use]
    pub fn make_room(&mut self, body: &mut Vec<u8>, most: usize) -> bool {
        if body.len() < body.capacity() || body.len() >= most {
            return true;
        }
        let room = body.len().max(STEP).min(most - body.len());
        let grows = self.grow(body.len() + room);
        if grows {
            body.reserve_exact(room);
        }
        grows
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(FREE).saturating_sub(self.taken);
        let Some(left) = self.budget.left.get().checked_sub(more) else { return false };
        self.budget.left.set(left);
        self.taken += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.set(self.budget.left.get() + self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that arrives byte by byte up to a length; how many bytes there was room for.
    fn arrives(share: &mut Share, body: &mut Vec<u8>, length: usize) -> usize {
        while body.len() < length && share.make_room(body, length) {
            let room = body.capacity().min(length);
            body.resize(room, b'x');
        }
        body.len()
    }

    #[test]
    fn bodies_share_the_budget_and_small_ones_always_have_room() {
        const MIB: usize = 1 << 20;
        let budget = Budget::new(MIB);
        let (mut one, mut body) = (budget.share(), Vec::new());
        assert_eq!(arrives(&mut one, &mut body, MIB), MIB);
        assert_eq!(body.capacity(), MIB, "no byte more than the limit is reserved");
        let (mut two, mut other) = (budget.share(), Vec::new());
        assert!(arrives(&mut two, &mut other, MIB) < MIB);
        let mut small = budget.share();
        assert_eq!(arrives(&mut small, &mut Vec::new(), FREE), FREE);
        drop((one, two));
        assert_eq!(
            arrives(&mut budget.share(), &mut Vec::new(), MIB),
            MIB,
            "a dropped share returns its bytes"
        );
        drop(small);
        assert_eq!(budget.left.get(), MIB);
    }

    #[test]
    fn an_announced_length_takes_nothing() {
        let budget = Budget::new(0);
        let mut body = vec![b'{'];
        body.shrink_to_fit();
        let mut share = budget.share();
        assert!(share.make_room(&mut body, 1 << 30));
        assert!(body.capacity() <= 1 + STEP);
    }
}

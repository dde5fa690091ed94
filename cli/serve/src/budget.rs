//! Memory for the bodies of requests, bounded over all connections of a listener: it is taken as a
//! body arrives, not as it is announced.

use std::cell::Cell;
use std::rc::Rc;

/// So much of each body is not counted: what the number of connections bounds, so that small
/// requests are served beside large ones that stall.
const FREE: usize = 16 << 10;
/// Room is made for this much at least.
const STEP: usize = 8 << 10;

#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
}

/// What one body has of it; given back when it is dropped.
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
    /// Makes room in a body for what may come next, of so many bytes in all; false where there is
    /// no memory for it now.
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
    fn bodies_share_what_there_is_and_small_ones_have_room_in_any_case() {
        const MIB: usize = 1 << 20;
        let budget = Budget::new(MIB);
        let (mut one, mut body) = (budget.share(), Vec::new());
        assert_eq!(arrives(&mut one, &mut body, MIB), MIB);
        assert_eq!(body.capacity(), MIB, "a byte more than was said is not held");
        let (mut two, mut other) = (budget.share(), Vec::new());
        assert!(arrives(&mut two, &mut other, MIB) < MIB);
        let mut small = budget.share();
        assert_eq!(arrives(&mut small, &mut Vec::new(), FREE), FREE);
        drop((one, two));
        assert_eq!(
            arrives(&mut budget.share(), &mut Vec::new(), MIB),
            MIB,
            "what was held is given back"
        );
        drop(small);
        assert_eq!(budget.left.get(), MIB);
    }

    #[test]
    fn what_is_only_announced_takes_nothing() {
        let budget = Budget::new(0);
        let mut body = vec![b'{'];
        body.shrink_to_fit();
        let mut share = budget.share();
        assert!(share.make_room(&mut body, 1 << 30));
        assert!(body.capacity() <= 1 + STEP);
    }
}

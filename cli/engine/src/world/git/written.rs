//! The objects that were written lately, kept so that they can be written again when a `git gc`
//! took them.

use super::ids::loose_path;
use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The size of the buffer of recently written objects, in bytes; the oldest are dropped first.
const KEPT: usize = 16 << 20;

/// The objects that were written lately as loose files, by all clones of one `Git`.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(Arc<Mutex<Recent>>);

#[derive(Debug, Default)]
struct Recent {
    objects: VecDeque<Object>,
    ids: HashSet<gix::ObjectId>,
    /// In bytes.
    size: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: gix::ObjectId,
    pub(super) kind: gix::objs::Kind,
    pub(super) bytes: Arc<[u8]>,
}

impl Written {
    pub(super) fn note(&self, id: gix::ObjectId, kind: gix::objs::Kind, bytes: &[u8]) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.ids.insert(id) {
            return;
        }
        recent.size += bytes.len();
        recent.objects.push_back(Object { id, kind, bytes: bytes.into() });
        while recent.size > KEPT {
            let Some(oldest) = recent.objects.pop_front() else { break };
            recent.size -= oldest.bytes.len();
            recent.ids.remove(&oldest.id);
        }
    }

    pub(super) fn get(&self, id: &gix::ObjectId) -> Option<Object> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .ids
            .contains(id)
            .then(|| recent.objects.iter().find(|object| object.id == *id).cloned())
            .flatten()
    }

    pub(super) fn not_loose(&self, objects: &Path) -> Vec<Object> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .objects
            .iter()
            .filter(|object| !objects.join(loose_path(&object.id)).exists())
            .cloned()
            .collect()
    }
}

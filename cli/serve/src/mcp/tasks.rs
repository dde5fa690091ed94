//! Tasks: calls whose result is fetched later. Only the child that made a task has it, so the child
//! is kept running for the task's lifetime.

use crate::mcp::running::Running;
use crate::mcp::server::Server;
use agent_core::protocol::raw_object::RawObject;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The lifetime of a task without a `ttl`, and the longest of any task.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The limit of tasks; beyond it the one that expires first is dropped.
const MOST: usize = 1024;

struct Task<S: Server> {
    server: Rc<Running<S>>,
    until: Instant,
}

pub struct Tasks<S: Server>(RefCell<BTreeMap<String, Task<S>>>);

impl<S: Server> Default for Tasks<S> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<S: Server> Tasks<S> {
    /// Records the task of a result, if it has one.
    pub fn note(&self, server: &Rc<Running<S>>, result: &RawValue) {
        // searched as text first: most results have no task, and parsing all would be slow
        if !result.get().contains("taskId") {
            return;
        }
        let Some((id, lifetime)) = task(result) else { return };
        let mut tasks = self.0.borrow_mut();
        tasks.retain(|_, task| task.until > Instant::now());
        while tasks.len() >= MOST {
            let first = tasks.iter().min_by_key(|(_, task)| task.until).map(|(id, _)| id.clone());
            first.and_then(|id| tasks.remove(&id));
        }
        tasks.insert(id, Task { server: Rc::clone(server), until: Instant::now() + lifetime });
    }

    /// The running child that made a task.
    pub fn of(&self, id: &str) -> Option<Rc<Running<S>>> {
        let mut tasks = self.0.borrow_mut();
        tasks.retain(|_, task| {
            task.until > Instant::now() && task.server.child().failure().is_none()
        });
        tasks.get(id).map(|task| Rc::clone(&task.server))
    }

    pub fn forget(&self, which: impl Fn(&Running<S>) -> bool) {
        self.0.borrow_mut().retain(|_, task| !which(&task.server));
    }
}

/// The id and the lifetime of a result's task.
fn task(result: &RawValue) -> Option<(String, Duration)> {
    let result = RawObject::parse(result)?;
    let task = result.object("task").unwrap_or(result);
    let lifetime = task
        .get("ttl")
        .and_then(|ttl| ttl.get().parse().ok())
        .map_or(LIFETIME, Duration::from_millis);
    Some((task.text("taskId")?, lifetime.min(LIFETIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_names_a_task() {
        let of = |text: &str| task(&RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(
            of(r#"{"task": {"taskId": "t1", "ttl": 5000, "status": "working"}}"#),
            Some(("t1".to_owned(), Duration::from_secs(5)))
        );
        assert_eq!(
            of(r#"{"task": {"taskId": "t1", "ttl": null}}"#),
            Some(("t1".to_owned(), LIFETIME))
        );
        assert_eq!(
            of(r#"{"taskId": "t2", "ttl": 99999999999}"#),
            Some(("t2".to_owned(), LIFETIME))
        );
        assert_eq!(of(r#"{"content": [{"text": "taskId"}]}"#), None);
    }
}

//! Tasks: calls whose result is fetched later. Only the child that made a task knows it, so that
//! one lives as long as the task does.

use crate::mcp::running::Running;
use crate::mcp::server::Server;
use agent_core::protocol::raw_object::RawObject;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Of a task that does not say for how long it is kept, and of any at most.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Beyond so many the one that ends first is forgotten.
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
    /// Notes the task that a result names, if it names one.
    pub fn note(&self, server: &Rc<Running<S>>, result: &RawValue) {
        // looked for as text first: most results do not have it
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

    /// The child that made a task, while it runs.
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

/// The id of the task that a result names, and for how long it is kept.
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

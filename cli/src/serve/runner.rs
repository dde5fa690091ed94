//! What the shim serves: the right child, under the right state, for each request.

use crate::calling::{self, Call};
use crate::children;
use crate::context::Context;
use crate::conversations;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::runner::child::{Child, ChildError, Role, RpcError};
use crate::serve::frame::{self, Incoming};
use crate::serve::stdio::write_line;
use crate::target::Target;
use agent_core::object_id::ObjectId;
use agent_core::raw_object::RawObject;
use agent_core::what::What;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// The revisions of the handshake era, oldest first.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// How long a child that keeps failing waits before it is started again: doubled each time, up to the last.
const BACK_OFF: [Duration; 5] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(10)];

type Answer = Result<Box<RawValue>, RpcError>;

/// A running child and what it serves.
#[derive(Clone)]
struct Served {
    target: Rc<Target>,
    child: Rc<Child>,
}

pub struct Shim {
    repository: Repository,
    context: Context,
    what: What,
    served: Mutex<Option<Served>>,
    failures: RefCell<Failures>,
    /// What the children say unasked, on its way to the host.
    notifications: Mutex<mpsc::UnboundedReceiver<Value>>,
    notify: mpsc::UnboundedSender<Value>,
}

#[derive(Default)]
struct Failures {
    in_a_row: usize,
    not_before: Option<tokio::time::Instant>,
}

impl Shim {
    pub fn new(repository: Repository, context: Context, what: What) -> Rc<Self> {
        let (notify, notifications) = mpsc::unbounded_channel();
        Rc::new(Self {
            repository,
            context,
            what,
            served: Mutex::new(None),
            failures: RefCell::default(),
            notifications: Mutex::new(notifications),
            notify,
        })
    }

    /// Starts the child before anybody asks: hosts connect long before they call.
    pub fn warm_up(self: &Rc<Self>) {
        let shim = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Err(error) = shim.ready().await {
                shim.context.printer.error(&error);
            }
        });
    }

    pub async fn forward_notification(&self) {
        if let Some(notification) = self.notifications.lock().await.recv().await {
            write_line(&notification.to_string());
        }
    }

    pub async fn end(&self) {
        if let Some(served) = self.served.lock().await.take()
            && let Ok(child) = Rc::try_unwrap(served.child)
        {
            child.end().await;
        }
    }

    pub async fn handle(&self, incoming: Incoming) -> Answer {
        let method = incoming.method.clone().unwrap_or_default();
        match method.as_str() {
            "ping" => Ok(frame::raw(&json!({}))),
            "initialize" => Ok(self.initialize(&incoming.params()).await),
            "tools/call" => self.call(incoming.params()).await,
            "server/discover" => {
                // the host then opens with `initialize`, as the stateless revision asks of it
                Err(frame::error(frame::METHOD_NOT_FOUND, "this server speaks the handshake revisions of MCP: open with `initialize`"))
            }
            _ => self.pass(&method, incoming.raw_params()).await,
        }
    }

    /// A child that cannot start leaves the host a server whose calls say why.
    async fn initialize(&self, params: &RawObject) -> Box<RawValue> {
        let asked = params.text("protocolVersion").unwrap_or_default();
        let revision = REVISIONS.into_iter().find(|known| *known == asked).unwrap_or(REVISIONS[REVISIONS.len() - 1]);
        let mut greeting = match self.ready().await {
            Ok(served) => served.child.greeting().clone(),
            Err(_) => json!({"capabilities": {"tools": {}}, "serverInfo": {"name": "agent", "version": env!("CARGO_PKG_VERSION")}}),
        };
        greeting["protocolVersion"] = json!(revision);
        if greeting["capabilities"]["tools"].is_object() {
            greeting["capabilities"]["tools"]["listChanged"] = json!(true);
        }
        frame::raw(&greeting)
    }

    async fn call(&self, params: RawObject) -> Answer {
        match self.called(params).await {
            Ok(result) => Ok(result),
            Err(CallFailure::Refused(error)) => Err(error),
            Err(CallFailure::Ours(error)) => Ok(frame::tool_error(&told(&error))),
        }
    }

    async fn called(&self, params: RawObject) -> Result<Box<RawValue>, CallFailure> {
        let served = self.ready().await?;
        let conversation = calling::conversation_of(&params);
        let served = self.for_conversation(served, conversation.as_deref()).await?;
        let call = Call { target: &served.target, layout: &self.repository.layout, params, conversation };
        let called = call.make(&served.child).await.map_err(|error| match error {
            calling::CallError::Child(ChildError::Refused { error, .. }) => CallFailure::Refused(*error),
            other => CallFailure::Ours(other.into()),
        })?;
        Ok(calling::for_host(called.result.raw()))
    }

    /// A conversation keeps the state it began with; one that began on other code is served by its own child for this call.
    async fn for_conversation(&self, served: Served, conversation: Option<&str>) -> Result<Served, CommandError> {
        let Some(id) = conversation else { return Ok(served) };
        let Some(kept) = conversations::load(&self.repository.layout, id)? else { return Ok(served) };
        if kept.header.commit == served.target.commit && kept.header.revision == served.target.state.revision {
            return Ok(served);
        }
        let target = Rc::new(self.repository.pinned(&kept.header)?);
        let child = if target.code == served.target.code { served.child } else { Rc::new(self.start(&target).await?) };
        Ok(Served { target, child })
    }

    async fn pass(&self, method: &str, params: Box<RawValue>) -> Answer {
        let served = self.ready().await.map_err(|error| frame::error(frame::INTERNAL_ERROR, told(&error)))?;
        served.child.pass(method, params).await.map_err(frame::child_error)
    }

    /// The child for what is served now: the running one under a newer state, or a new one when the code moved or it died.
    async fn ready(&self) -> Result<Served, CommandError> {
        let mut slot = self.served.lock().await;
        let target = self.current(slot.as_ref())?;
        if let Some(served) = slot.as_mut()
            && served.child.failure().is_none()
            && served.target.code == target.code
        {
            served.target = target;
            return Ok(served.clone());
        }
        self.wait_for_back_off().await;
        let started = self.start(&target).await;
        self.count_failure(started.is_err() || slot.as_ref().is_some_and(|served| served.child.failure().is_some()));
        let served = Served { target, child: Rc::new(started?) };
        // the old one ends when the last call it serves has been answered
        if slot.replace(served.clone()).is_some_and(|old| old.target.code != served.target.code) {
            let _ = self.notify.send(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        }
        Ok(served)
    }

    async fn start(&self, target: &Target) -> Result<Child, CommandError> {
        let spec = children::spec(Role::Runner, target, &self.repository.layout, &self.context)?;
        let mut child = Child::start(&spec).await?;
        if let Some(mut said) = child.take_notifications() {
            let notify = self.notify.clone();
            tokio::task::spawn_local(async move {
                while let Some(frame) = said.recv().await {
                    let _ = notify.send(frame);
                }
            });
        }
        Ok(child)
    }

    /// What is to be served now; resolved again only when the branch or the state has moved.
    fn current(&self, served: Option<&Served>) -> Result<Rc<Target>, CommandError> {
        let unchanged = match (&self.what, served) {
            (_, None) | (What::Staging | What::Worktree, _) => false,
            (What::Active, Some(served)) => self.tip()? == served.target.commit,
            _ => true,
        };
        match served {
            Some(served) if unchanged => Ok(Rc::clone(&served.target)),
            _ => Ok(Rc::new(self.repository.target(&self.what)?)),
        }
    }

    fn tip(&self) -> Result<Option<ObjectId>, CommandError> {
        Ok(self.repository.git.reference(crate::world::git::ACTIVE)?)
    }

    async fn wait_for_back_off(&self) {
        let until = self.failures.borrow().not_before;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn count_failure(&self, failed: bool) {
        let mut failures = self.failures.borrow_mut();
        failures.in_a_row = if failed { failures.in_a_row + 1 } else { 0 };
        let wait = BACK_OFF[failures.in_a_row.min(BACK_OFF.len() - 1)];
        failures.not_before = failed.then(|| tokio::time::Instant::now() + wait);
    }
}

enum CallFailure {
    /// The child's own JSON-RPC error, handed on as it is.
    Refused(RpcError),
    Ours(CommandError),
}

impl From<CommandError> for CallFailure {
    fn from(error: CommandError) -> Self {
        Self::Ours(error)
    }
}

/// An error in one text, for a reader who sees no exit code.
fn told(error: &CommandError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    error.messages.join(": ") + &hint
}

//! What a host is served: the child for what is current at each request, started ahead, replaced when it dies.

use crate::context::Context;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::runner::child::{Child, ChildError, RpcError};
use crate::serve::frame::{self, Incoming};
use crate::serve::stdio::write_line;
use crate::target::Target;
use agent_core::object_id::ObjectId;
use agent_core::raw_object::RawObject;
use agent_core::what::What;
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

/// The revisions of the handshake era, oldest first.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The one revision with batches.
const WITH_BATCHES: &str = REVISIONS[1];
/// How long a child that keeps failing waits before it is started again: doubled and more each time, up to the last.
const BACK_OFF: [Duration; 5] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(10)];
/// A failure after this long without one is the first in a row again.
const STEADY: Duration = Duration::from_secs(60);
/// How long a child that let a call run out may take to answer a ping.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

pub(crate) type Answer = Result<Box<RawValue>, RpcError>;

/// A child with what it takes to call its tools.
pub(crate) trait Server: Sized + 'static {
    async fn start(shim: &Shim<Self>, target: &Target) -> Result<Self, CommandError>;
    fn child(&self) -> &Child;
    fn child_mut(&mut self) -> &mut Child;
    async fn end(self);
    /// Whether a server that was started for one target can serve another.
    fn serves(old: &Target, new: &Target) -> bool;
    /// One `tools/call`.
    async fn call(shim: &Shim<Self>, served: Served<Self>, params: RawObject) -> Result<Box<RawValue>, CallFailure>;
}

/// A running server and what it serves.
pub(crate) struct Served<S> {
    pub target: Rc<Target>,
    pub server: Rc<S>,
}

impl<S> Clone for Served<S> {
    fn clone(&self) -> Self {
        Self { target: Rc::clone(&self.target), server: Rc::clone(&self.server) }
    }
}

/// Why a call has no result.
pub(crate) enum CallFailure {
    Child(ChildError),
    Ours(CommandError),
}

impl<E: Into<CommandError>> From<E> for CallFailure {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

pub(crate) struct Shim<S> {
    pub repository: Repository,
    pub context: Context,
    pub turns: Turns,
    what: What,
    served: Mutex<Option<Served<S>>>,
    failures: RefCell<Failures>,
    /// What was agreed with the host, once it was.
    revision: Cell<Option<&'static str>>,
}

impl<S: Server> Shim<S> {
    pub fn new(repository: Repository, context: Context, what: What) -> Rc<Self> {
        Rc::new(Self {
            repository,
            context,
            turns: Turns::default(),
            what,
            served: Mutex::new(None),
            failures: RefCell::default(),
            revision: Cell::new(None),
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

    /// Ends what runs; a child that is only just starting ends by being dropped.
    pub async fn end(&self) {
        let served = self.served.try_lock().ok().and_then(|mut slot| slot.take());
        if let Some(server) = served.and_then(|served| Rc::try_unwrap(served.server).ok()) {
            server.end().await;
        }
    }

    pub fn takes_batches(&self) -> bool {
        self.revision.get() == Some(WITH_BATCHES)
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
        self.revision.set(Some(revision));
        let mut greeting = match self.ready().await {
            Ok(served) => served.server.child().greeting().clone(),
            Err(_) => json!({"capabilities": {"tools": {}}, "serverInfo": {"name": "agent", "version": env!("CARGO_PKG_VERSION")}}),
        };
        greeting["protocolVersion"] = json!(revision);
        if greeting["capabilities"]["tools"].is_object() {
            greeting["capabilities"]["tools"]["listChanged"] = json!(true);
        }
        frame::raw(&greeting)
    }

    async fn call(&self, params: RawObject) -> Answer {
        let served = match self.ready().await {
            Ok(served) => served,
            Err(error) => return Ok(frame::tool_error(&told(&error))),
        };
        match S::call(self, served.clone(), params).await {
            Ok(result) => Ok(result),
            Err(CallFailure::Child(ChildError::Refused { error, .. })) => Err(*error),
            Err(CallFailure::Child(error)) => {
                self.replace_if_deaf(&served, &error).await;
                Ok(frame::tool_error(&told(&error.into())))
            }
            Err(CallFailure::Ours(error)) => Ok(frame::tool_error(&told(&error))),
        }
    }

    async fn pass(&self, method: &str, params: Box<RawValue>) -> Answer {
        let served = self.ready().await.map_err(|error| frame::error(frame::INTERNAL_ERROR, told(&error)))?;
        served.server.child().pass(method, params).await.map_err(frame::child_error)
    }

    /// A child that is busy with one call still answers others; one that hangs as a whole is replaced by the next request.
    async fn replace_if_deaf(&self, served: &Served<S>, error: &ChildError) {
        let ping = served.server.child().pass("ping", RawObject::default().to_raw());
        if !matches!(error, ChildError::TimedOut { .. }) || timeout(SIGN_OF_LIFE, ping).await.is_ok() {
            return;
        }
        let mut slot = self.served.lock().await;
        if slot.as_ref().is_some_and(|current| Rc::ptr_eq(&current.server, &served.server)) {
            *slot = None;
        }
    }

    /// The child for what is served now: the running one under a newer state, or a new one when the code moved or it died.
    pub async fn ready(&self) -> Result<Served<S>, CommandError> {
        let failed_before = self.failures.borrow().count;
        let mut slot = self.served.lock().await;
        let target = self.current(slot.as_ref())?;
        if let Some(served) = slot.as_mut()
            && served.server.child().failure().is_none()
            && S::serves(&served.target, &target)
        {
            served.target = target;
            return Ok(served.clone());
        }
        // whoever waited while a start failed has its answer, and does not wait for another
        if let Some(error) = self.failures.borrow().since(failed_before) {
            return Err(error);
        }
        let died = slot.as_ref().is_some_and(|served| served.server.child().failure().is_some());
        let wait = self.failures.borrow().wait();
        tokio::time::sleep_until(wait).await;
        let started = self.start(&target).await;
        if died || started.is_err() {
            self.failures.borrow_mut().add(started.as_ref().err());
        }
        let served = Served { target, server: Rc::new(started?) };
        // the old one ends when the last call it serves has been answered
        if slot.replace(served.clone()).is_some_and(|old| old.target.code != served.target.code) {
            write_line(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
        }
        Ok(served)
    }

    /// A child of its own for a target; what it says unasked goes to the host.
    pub async fn start(&self, target: &Target) -> Result<S, CommandError> {
        let mut server = S::start(self, target).await?;
        if let Some(mut said) = server.child_mut().take_notifications() {
            tokio::task::spawn_local(async move {
                while let Some(frame) = said.recv().await {
                    write_line(frame.get());
                }
            });
        }
        Ok(server)
    }

    /// What is to be served now; resolved again only when the branch or the state has moved.
    fn current(&self, served: Option<&Served<S>>) -> Result<Rc<Target>, CommandError> {
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
}

/// How often the child could not be started, or had to be.
#[derive(Default)]
struct Failures {
    count: usize,
    in_a_row: usize,
    last: Option<Instant>,
    error: Option<CommandError>,
}

impl Failures {
    fn add(&mut self, error: Option<&CommandError>) {
        let calm = self.last.is_none_or(|last| last.elapsed() > STEADY);
        self.in_a_row = if calm { 1 } else { self.in_a_row + 1 };
        self.last = Some(Instant::now());
        if let Some(error) = error {
            self.count += 1;
            self.error = Some(error.clone());
        }
    }

    fn since(&self, count: usize) -> Option<CommandError> {
        self.error.clone().filter(|_| self.count > count)
    }

    /// When the next start may be tried.
    fn wait(&self) -> Instant {
        let wait = BACK_OFF[self.in_a_row.min(BACK_OFF.len() - 1)];
        self.last.map_or_else(Instant::now, |last| last + wait)
    }
}

/// Calls that have to follow one another, by the name of what they share.
#[derive(Default)]
pub(crate) struct Turns(RefCell<HashMap<String, Arc<Mutex<()>>>>);

impl Turns {
    pub async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.borrow_mut();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

/// An error in one text, for a reader who sees no exit code.
fn told(error: &CommandError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    error.messages.join(": ") + &hint
}

//! Records calls of a host as cases: each call is repeated under test conditions and becomes a case
//! where that succeeds.

use super::trying::{CALL_LIMIT, confined, milliseconds, varying};
use agent_core::adoption::{self, Measured, Trial};
use agent_core::formats::document;
use agent_core::protocol::call_result::{Answer, CallResult};
use agent_core::replay::served_call::ServedCall;
use agent_core::version::what::What;
use agent_engine::child::Child;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::confinement::Scratch;
use agent_engine::world::fs::{self, Durability, FsError};
use agent_engine::world::recording::Recorded;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Instant;

/// The cases of recorded calls.
pub const CASES: &str = "tests/micro/recorded.jsonl";
/// Files with cases whose calls are not recorded again.
const KNOWN: [&str; 2] = [super::CASES, CASES];
const NAME: &str = "recorded";

/// The result of recording a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Case {
        id: String,
        /// Whether the same answer is expected again; otherwise any answer passes.
        is_steady: bool,
        /// As it is written.
        line: String,
    },
    /// No case, and why.
    None(String),
}

/// Writes cases for calls into the working tree.
pub struct Gathering<'a> {
    repository: &'a Repository,
    worktree: PathBuf,
    /// The target that repeats the calls.
    what: What,
    /// Cases are made, and not written.
    dry_run: bool,
    /// Cases that were made.
    made: Vec<Value>,
    measured: Measured,
}

impl<'a> Gathering<'a> {
    pub fn new(repository: &'a Repository) -> Result<Self, Failure> {
        Self::of(repository, What::Worktree, false)
    }

    /// Of calls that are repeated by `what`.
    pub fn of(repository: &'a Repository, what: What, dry_run: bool) -> Result<Self, Failure> {
        Ok(Self {
            repository,
            worktree: repository.worktree()?,
            what,
            dry_run,
            made: Vec::new(),
            measured: Measured::default(),
        })
    }

    /// Adds a call that was recorded in service.
    pub async fn add_served(&mut self, call: &ServedCall) -> Result<Made, Failure> {
        let raw = |value| to_raw_value(value).expect("a JSON value serialises");
        self.add(&Recorded::new(&call.tool, raw(&call.arguments), raw(&call.result))).await
    }

    /// Writes a case for a call, where one can be made.
    pub async fn add(&mut self, call: &Recorded) -> Result<Made, Failure> {
        let Ok(arguments) = serde_json::from_str::<Value>(call.arguments.get()) else {
            return Ok(Made::None("its arguments are not valid JSON".to_owned()));
        };
        let there = self.there()?;
        if there
            .iter()
            .any(|case| case["tool"] == call.tool.as_str() && case["arguments"] == arguments)
        {
            return Ok(Made::None("a case with the same arguments exists".to_owned()));
        }
        let given = CallResult::parse(call.result.clone()).and_then(|result| result.answer());
        let Ok(given) = given else {
            return Ok(Made::None("its answer is not a valid result".to_owned()));
        };
        if given.is_error() {
            return Ok(Made::None("the tool failed".to_owned()));
        }
        let target = self.repository.target_to_test(&self.what)?;
        let again = match self.again(&target, &call.tool, &arguments).await {
            Ok(again) => again,
            Err(error) => {
                return Ok(Made::None(format!(
                    "it could not be repeated as a test: {}",
                    error.messages.join(": ")
                )));
            }
        };
        if adoption::is_offline(&again) || again.is_error() {
            return Ok(Made::None(
                "it fails under test conditions: no network, and an empty data folder".to_owned(),
            ));
        }
        let trial = Trial { tool: call.tool.clone(), arguments, required: None };
        let mut case =
            adoption::recorded(&trial, [&given, &again], &varying(&target, self.repository));
        let id = fresh_id(&call.tool, &there);
        case["id"] = id.as_str().into();
        case["tags"] = serde_json::json!([NAME]);
        if !adoption::holds(&case, &again) {
            return Ok(Made::None("no expectation can describe its answer".to_owned()));
        }
        if !self.dry_run {
            self.write(&case)?;
        }
        let is_steady = case["expect"].get("equals").is_some();
        let line = case.to_string();
        self.made.push(case);
        Ok(Made::Case { id, is_steady, line })
    }

    /// Appends to the user's file, whose last line may lack its newline.
    fn write(&self, case: &Value) -> Result<(), FsError> {
        let path = self.worktree.join(CASES);
        let before = fs::read_if_there(&path)?.unwrap_or_default();
        let start = if before.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
        fs::append(&path, format!("{start}{case}\n").as_bytes(), Durability::Durable)
    }

    /// The existing cases.
    fn there(&self) -> Result<Vec<Value>, Failure> {
        let mut cases = if self.dry_run { self.made.clone() } else { Vec::new() };
        for file in KNOWN {
            let bytes = fs::read_if_there(&self.worktree.join(file))?.unwrap_or_default();
            cases.extend(
                String::from_utf8_lossy(&bytes)
                    .lines()
                    .filter_map(|line| serde_json::from_str::<Value>(line).ok()),
            );
        }
        Ok(cases)
    }

    async fn again(
        &mut self,
        target: &Target,
        tool: &str,
        arguments: &Value,
    ) -> Result<Answer, Failure> {
        let scratch = Scratch::take(&self.repository.layout)?;
        let spec = scratch.given_to(confined(target, Some(false), self.repository)?);
        let began = Instant::now();
        let child = Child::start(&spec).await?;
        self.measured.start_ms = self.measured.start_ms.max(milliseconds(began));
        let began = Instant::now();
        let answer =
            match tokio::time::timeout(CALL_LIMIT, child.call(tool, arguments, Map::new())).await {
                Err(_) => Err(child.exit_error()),
                Ok(result) => result.and_then(|result| child.readable(tool, result.answer())),
            };
        self.measured.calls_ms.push(milliseconds(began));
        child.end().await;
        Ok(answer?)
    }

    /// Raises the tier's budgets to the measured times of its new cases, with a margin.
    pub fn raise_budgets(&self) -> Result<(), Failure> {
        let path = self.worktree.join(super::BUDGETS);
        let Some(bytes) = fs::read_if_there(&path)? else { return Ok(()) };
        let Ok(budgets) = document::parse::<Value>(&String::from_utf8_lossy(&bytes)) else {
            return Ok(());
        };
        let raised = self.measured.raised(&budgets);
        if raised != budgets {
            fs::replace(&path, super::pretty(&raised).as_bytes(), Durability::Durable)?;
        }
        Ok(())
    }
}

/// `TOOL-recorded-N`, with the first free number.
fn fresh_id(tool: &str, there: &[Value]) -> String {
    let ids = (1..).map(|number: u64| format!("{tool}-{NAME}-{number}"));
    let is_free = |id: &String| there.iter().all(|case| case["id"] != id.as_str());
    ids.into_iter().find(is_free).expect("there are more numbers than cases")
}

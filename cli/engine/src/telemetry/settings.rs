//! The source of the telemetry: the agent, its store, the instrumentation scope.

use crate::world::env;
use crate::world::layout::Layout;
use agent_core::formats::manifest::Store;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;

/// The resource, and the export destinations.
#[derive(Debug, Clone)]
pub struct Settings {
    pub layout: Layout,
    /// The object store, as `agent.toml` has it.
    pub store: Store,
    /// The agent's name there.
    pub agent: Option<String>,
}

impl Settings {
    /// The process as a resource, by the usual variables where they are set.
    pub(super) fn resource(&self) -> Resource {
        let mut attributes = vec![
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ];
        attributes.extend(self.agent.clone().map(|name| KeyValue::new("agent.name", name)));
        let builder = Resource::builder().with_attributes(attributes);
        if env::names_service() {
            builder.build()
        } else {
            builder.with_service_name("agent").build()
        }
    }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("agent").with_version(env!("CARGO_PKG_VERSION")).build()
}

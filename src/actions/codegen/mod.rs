//! What steps have Codegen do: an agent run is begun, and the step is done when that has ended. It calls back, or is
//! asked, whichever is first.

pub mod agent;
pub mod await_codegen;
pub mod begin_codegen;
pub mod trigger_codegen;
pub mod trigger_codegen_fix;
mod turn;

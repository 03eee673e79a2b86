//! What a worker reads of a run: told from the run when it is read, so nothing is stored twice.

use crate::base::id::RunId;
use crate::model::run::{Run, Status};
use crate::model::stream::Fields;
use crate::model::trace::Trace;
use crate::store::fault::Fault;
use crate::store::kinds::run as run_rows;
use crate::store::rows::Rows;

/// The fields of a run; nothing when it is gone.
pub fn fields(rows: &dyn Rows, run: RunId) -> Result<Option<Fields>, Fault> {
    match run_rows::get(rows, run)? {
        Some(run) => fields_of(rows, &run).map(Some),
        None => Ok(None),
    }
}

/// The same of a run that is at hand.
pub fn fields_of(rows: &dyn Rows, run: &Run) -> Result<Fields, Fault> {
    let body = run_rows::body(rows, run.id)?;
    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(24);
    let mut add = |name: &str, value: Vec<u8>| {
        parts.push(name.as_bytes().to_vec());
        parts.push(value);
    };
    add("run", run.id.to_string().into());
    add("attempt", run.attempts.to_string().into());
    add("fence", run.fence.to_string().into());
    add("task", run.task.to_string().into());
    add("org", run.org.to_string().into());
    add("env", run.env.to_string().into());
    if run.status == Status::Canceling {
        add("canceling", b"1".to_vec());
    }
    if !run.steps.is_empty() {
        add("step", run.step.to_string().into());
    }
    if let (true, Some(output)) = (run.has_output, run_rows::output(rows, run.id)?) {
        add("output", output);
    }
    if let Some(metadata) = &run.metadata {
        add("metadata", metadata.clone().into());
    }
    for (name, value) in run.trace.iter().flat_map(Trace::fields) {
        add(name, value.into());
    }
    if let Some(context) = body.context {
        add("context", context);
    }
    add("payload", body.payload.unwrap_or_else(|| b"null".to_vec()));
    Ok(Fields::from_parts(&parts))
}

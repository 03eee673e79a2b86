//! Why there is no run under an id: nobody ever made one, or the burst buffer took it and its entry
//! cannot be read any more. Whoever holds an id that was accepted is owed the difference.

use crate::base::id::RunId;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Fault;
use crate::store::kinds::buffered::{self, Held};
use crate::store::rows::Rows;

use super::save;

/// The refusal for an id without a run. `admits` says whether the caller may see things of an org
/// and env; where these cannot be told, `None` is asked about.
pub fn absent(
    rows: &dyn Rows,
    id: RunId,
    admits: impl Fn(Option<(&str, &str)>) -> bool,
) -> Result<Refusal, Fault> {
    let seen = match buffered::dead_one(rows, id)? {
        Some(dead) => admits(Some((&dead.org, &dead.env))),
        None => matches!(buffered::held(rows, id)?, Some(Held::Unreadable(..))) && admits(None),
    };
    Ok(match seen {
        true => {
            let message = format!(
                "run {id} was accepted in a burst, and its entry in the buffer cannot be read any more"
            );
            Refusal::new(Code::RunUnreadable, message)
        }
        false => save::not_found(&id.to_string()),
    })
}

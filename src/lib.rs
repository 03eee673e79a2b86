//! Tidegate: a run appliance. Applications hand it runs; it keeps them, delivers each to its agent
//! and shows them. One binary, one data directory, no other service.
//!
//! # The map
//! ```text
//! floor  module      what it answers
//! 6      cli         what a person types: serve (systemd: what a service manager is told), demo,
//!                    bench, check, backup, restore, verify, compact, status, doctor, token, user,
//!                    version; read (manual, licences); exit codes and what to do about them;
//!                    beside (a verb's request to the appliance, running or not)
//!        app         composition: opens, builds, starts in order, stops in reverse; reload (settings
//!                    that were read again)
//!        config      settings: defaults, file, environment, flags, each checked and named; effective
//!                    (all that are in effect, and origins: where each came from)
//! 5      front       doors: http (a file per resource, one table of operations), resp (the Redis
//!                    protocol: frame and request cut, parse reads, connection groups what shares
//!                    a commit, encode writes) and dashboard (a file per page); http::who guards every
//!                    route and resp::needs every command; stream and tls carry both doors, accepting
//!                    is what both do when no connection can be taken; shipped (manual and
//!                    licences, for pages and verbs)
//!        work        duties: dispatch (core decides, driver does, sender sends, clock
//!                    sees it set back), monitor (looks at everything every few seconds, and
//!                    keeps history), alerts (a look after each sample; slack, mail and webhook,
//!                    each by itself), purge (rows nobody sees), fleet (who is alive, whose work
//!                    is lost, tidying), drain (empties the buffer), sweep (counts what waits
//!                    there for too long),
//!                    batches (ends what was begun: making, canceling, clearing away), shards (gives
//!                    shards their runs), retain (what is over and old goes), jobs (bulk actions,
//!                    slice by slice), backup (makes them in their time)
//! 4      appliance   all that a door or a duty may ask for, plain values in and out; access (who a
//!                    caller is, from memory), caller (who asks, on the task of a request)
//! 3      ledger      one act per file over a transaction: runs, outbox, tasks, keys (what Redis
//!                    clients ask for), streams, fleet, buffer (accept, rotate: whose turn it is,
//!                    drain, sweep, settings), batches (create, make, discard, cancel, finish),
//!                    shards (plan, dispatch, deliver, follow: what runs say of their shards,
//!                    forget), schedules (set, turn: begins windows and gives orgs their runs, make,
//!                    told), history (tick, pack: by series once an hour is over, forget, ask), alerts
//!                    (look, deliver, silences), retain, jobs, access (tokens, users, sessions,
//!                    audit), backups (which there are); verify: whether a whole store tells one
//!                    story, in bounded memory; ask: questions
//!        engine      when things become durable: batch, writer, linger, parked (readers that
//!                    wait), handle, hub of hints, timings (how long runs took, until history
//!                    takes it)
//! 2      store       the only module that names redb and bincode: tables (the whole schema on a
//!                    page), keys, codec, rows, overlay transactions, open; disk (a commit is durable
//!                    in the journal and shown at once), recent (what redb does not have yet),
//!                    keeper (puts it into redb beside the writer, makes checkpoints), view (both
//!                    as one), apply (changes into redb's table), backup (one file out of a view),
//!                    restore, upgrade (older formats), pack (numbers packed tight); kinds: a file per
//!                    kind of row
//! 1      model       what things are and how they may change: run (the state machine), task,
//!                    batch, delivery, outcome (the outcome table), retry, breaker, gate (straight in or
//!                    into the buffer), buffer (its settings), signature, target
//!                    (which addresses may be called), stream (ids, groups, lag), worker (alive,
//!                    stopped, crashed), shard (a large run in parts), cron (expressions: times in a
//!                    zone, words), schedule (windows, rounds, orgs), retention (its ages and
//!                    counts), job (a bulk action), access (roles and what each may, tokens, users),
//!                    attempts (how fast a stranger may guess), sample (all that is measured, at one
//!                    moment), alert (rule, reading: what is breached, machine: who is told what,
//!                    said and advice: in which words), history (windows and their buckets), clock (its
//!                    steps back), setting (one in effect), histogram (lengths of time that can be merged), trace (a
//!                    caller's, passed on), refusal (every expected no)
//! 0      base        words everyone uses: time, ids, names, entropy, hash, text, human (as people read
//!                    numbers), latest (how long things took lately), patterns, json, panics, files (how
//!                    many may be open)
//! ```
//! A module imports from its own floor's lower neighbours and from below, never upward; `work` and
//! `front` do not know each other, nor do `ledger` and `engine`. `tests/tidy` holds this.
//!
//! # The way of a run
//! `front::http::runs_create` turns JSON into a valid `Submit`. `appliance::intake` answers a known
//! key from a snapshot, else sends the act to `engine::writer`, which gathers what waits, runs each
//! command over an overlay of its own, merges the accepted ones, commits once (one synced record of
//! `store::journal`; redb gets the rows a moment later, from `store::keeper`), and only then lets any
//! answer out. The commit's hints wake `work::dispatch`: its core asks for claims, the ledger leases
//! rows with a fence, the sender calls, the outcome table judges, and `settle` applies it to run and
//! row in one transaction that the fence guards.
//!
//! A run of a pull task takes another way: `runs::pull` puts an entry that names it into its stream,
//! in the transaction that makes it. A reader of a group gets it with fence and attempt, its
//! acknowledgement completes it or moves it to its next step, and `streams::requeue` finds what
//! workers hold that show no sign of life. Readers that block wait in `engine::parked` and are
//! served in the very batch that brings them something.
//!
//! In a burst the gate sends a run another way in: `buffer::accept` writes its head, its place in the
//! queue of its env and its key, and `run_rows::get` finds it there, so that reads, edits and cancels
//! need not know. `work::drain` makes the next ones real, org after org and env after env; entry, run
//! and its delivery change in one transaction, so no entry is ever half out.
//!
//! A batch is staged where nobody looks, slice by slice; one commit seals it, and then its runs are
//! made. Before the seal it can be given up and leaves nothing, behind it a duty ends what its caller
//! did not. `runs::save` moves its counters, and `batches::finish` writes that it is done, and its
//! callback, in the transaction of its last run.
//!
//! A sharded run is planned under a head that nobody sees, part by part, until a last transaction
//! seals it. `work::shards` then gives shards their runs in slices; shard, run, delivery and link are
//! one transaction. `runs::save` tells `shards::follow` of every change of a run's status, so that
//! shards, their counters and the whole change with it.
//!
//! A schedule has one timer. When it fires, `schedules::turn` begins the last window whose time has
//! come, as a round, and gives the next orgs their runs, a bounded number at once; an org's run, or
//! its sharded run, is made in the transaction that writes its slot. Progress never goes back, so a
//! window is begun once whatever clocks and processes do.
//!
//! What is over goes in its time: `retain::look` finds it on a snapshot and `retain::remove` takes it
//! out with every row that was there for its sake, in slices; `retain::run` holds the one place that
//! knows what points to a run. A bulk job keeps its runs as a set of rows: counting writes them,
//! acting takes each out in the transaction that acts on it.
//!
//! A backup is written from a view, which is one commit, block by block beside the writer; what reads
//! it again is the same `ledger::verify` that tests and simulator use. A restore fills a draft and
//! gives it its name once the digest was right.
//!
//! Who asks is found out before a handler runs: each route has a gate with what it takes and whose
//! things it is about, out of the same table as the route. The line of the audit log waits on the task
//! of the request and goes along with the first act that it sends to the writer: one commit.
//!
//! What is measured becomes one sample every 3 s, for pages, `/metrics`, alerts and history alike.
//! The first of each half minute is written as one row; once an hour is over it is packed by series,
//! in steps of a tick, of five minutes and of an hour, so that a window of any length is answered
//! out of a few rows. Lengths of time are histograms from the commit that saw them to the answer, so
//! percentiles are those of all runs of a window.
//!
//! After every sample `alerts::look` takes each alert, one for each rule and subject, further by the
//! pure machine of `model::alert`; state, line of the history and message are one transaction. A duty
//! for each channel delivers the messages and settles them, so that a crash repeats one and loses none.
//!
//! # Invariants
//! - Only `store` names redb and bincode; only `base::time` reads the clock.
//! - Domain code (floors 1-3) is synchronous; time and randomness are arguments.
//! - No answer, not even a refusal, leaves before the rows it rests on are durable.
//! - No write transaction spans a network call.
//! - A hint never carries data; whoever wakes asks the store what is true.
//! - Indexes, counters and timers are written by the two `save` files of the ledger, derived from
//!   the difference of before and after; no act touches them itself.
//! - An expected no is a `Refusal` and leaves no row; a broken promise is a `Fault` and ends the
//!   engine. A full disk is the one fault that is waited out, read-only.
//! - Types on disk are not types on the wire.
//! - No route and no command without a role; no token and no password on disk but
//!   as a hash.
//!
//! # Where this differs from the first design
//! - One physical table with a prefix byte for each kind of row, not a table per kind: a further
//!   table touched in a commit costs about 10 KB and 60-100 us, a prefix nothing.
//! - A journal stands in front of redb. A durable commit of redb writes some eight scattered pages
//!   before its sync; the same rows as one record over bytes that the file has are synced in a third
//!   of the time. redb is made durable at checkpoints only: when the journal is full, when the
//!   writer falls idle, and at the end. An open applies what the journal holds beyond the last one.
//! - Commands of a batch run over a read snapshot and overlays; the redb write transaction is
//!   opened only to apply the merged result. Counters travel as movements, so commands of one
//!   batch need not read what they change.
//! - Lanes that may be claimed are marked; a lane that is empty, at its limit or behind a head that
//!   backs off loses its mark, and whatever unblocks it marks it again. Claims walk marks only.
//! - Leases, delays, times to live and deadlines are one index of timers.
//! - Every attempt of a pulled run has an entry id of its own, side by side in a block that is set
//!   aside when it is queued: a late acknowledgement meets an id that is gone.
//! - A cut of many entries moves the lower bound of the stream and leaves the rows to a duty; so do
//!   streams and groups that are removed. No command writes without a bound.
//! - The writer does linger, for the callers that it has just answered and only while that pays: see
//!   `engine::linger`.

pub mod app;
pub mod appliance;
pub mod base;
pub mod cli;
pub mod config;
pub mod engine;
pub mod front;
pub mod ledger;
pub mod model;
pub mod store;
pub mod work;

//! The whole schema on a page.
//!
//! There is one physical redb table from bytes to bytes: a further table touched in a commit
//! costs about 10 KB and 60-100 us, a prefix inside one table costs nothing. The first byte of
//! every key is the number below. Numbers are on disk: never renumber, never reuse.
//!
//! | table | key after the number | value | lives |
//! |---|---|---|---|
//! | Meta | name | per name | for ever |
//! | Run | run id | head of a run: state, times, limits | until retention |
//! | Body | run id | payload and context as sent; never changes | with its run |
//! | Output | run id | output as given | with its run |
//! | ByStatus | status, run id | nothing | with its run |
//! | ByTask | task, run id | nothing | with its run |
//! | ByEnv | org, env, run id | nothing | with its run |
//! | ByTag | org, env, tag, run id | nothing | with its run |
//! | Idem | org, env, key | run id, fingerprint, when | its time, then overwritten or with its run |
//! | Remote | number, endpoint, run id | nothing | with its run |
//! | Count | scope | signed number, absent when 0 | while not 0 |
//! | Task | name | the task | until deleted |
//! | Endpoint | name | health, secrets, breaker | with its task |
//! | Outbox | row id | an intent to call out | until delivered or dead |
//! | Ready | endpoint, lane, priority, row id | nothing | while waiting for a claim |
//! | Lane | endpoint, lane | nothing: it has ready rows and is not known to be blocked | while so |
//! | Due | kind, when, id | nothing | until it fires or is moot |
//! | Dead | when, row id | the outbox row and why | 30 days |
//! | DeadById | row id | when | with its dead letter |
//! | Attempt | owner id, number | one try: class, status, body | with its run or 30 days |
//! | Event | run id, number | a line of the timeline | with its run |
//! | Pause | scope, lane | why and until when | until lifted or over |
//! | Notice | id | an operational event for people | 30 days |
//! | Key | database, name | a string, or the head of a stream; when it expires | until deleted |
//! | KeyNumber | database, number | name of the key: the order in which keys are listed | with its key |
//! | KeyDue | when, database, name | nothing: the key expires then | with its expiry |
//! | Entry | stream number, id | fields, or the run that it stands for | until deleted or trimmed |
//! | Group | stream number, name | position, counts | with its stream |
//! | Consumer | stream number, group number, name | signs of life, counts | with its group |
//! | ConsumerName | stream number, group number, consumer number | its name | with its consumer |
//! | Pending | stream number, group number, id | who has it, since when, how often | until acknowledged |
//! | Again | stream number, group number, when, id | nothing: to be delivered again from then on | until read or acknowledged |
//! | Callback | callback id | run, when | until answered, or its run ends |
//! | CallbackOf | run id, callback id | nothing | with its callback |
//! | Worker | stream, consumer | signs of life, notice, state | a day after it went |
//! | WorkerType | stream | state, counts | until forgotten |
//! | FleetEvent | id | what happened to the fleet | 30 days |
//! | CallbackAnswer | run id, callback id | when, and what was answered | with its run |
//! | Buffered | run id | head of a run that the burst buffer took, and how its way out went | until drained |
//! | BufferQueue | org, env, run id | as what it is counted; the order in which an env is drained | until drained, or while it backs off |
//! | BufferWaits | org, env, run id | as what it is counted; it backs off and is not in the queue | while so |
//! | BufferDead | run id | an entry that cannot be read: org, env, bytes, why, when | until removed by hand |
//! | BufferSettings | nothing, or org | numbers and switches of the buffer, and who set them | for ever |
//! | BufferSweep | what, org, env | state of the stale sweep: cursor, orgs, counts, visited | while the buffer is on |
//! | Batch | batch id | head of a batch: times, sizes, callback, cancellation | with its runs |
//! | BatchStaged | run id | head of a run whose batch is being created | until it is made, or its batch is given up |
//! | BatchRun | batch id, index, run id | nothing, or a mark that the run was there before | with its batch |
//! | BatchKey | org, env, key | batch id, fingerprint, when | its time, then overwritten |
//! | BatchWork | batch id | nothing: a duty goes on with it | while there is work |
//! | ShardedRun | id | a run that is split into shards | until retention |
//! | ShardPlan | id | one whose plan is not complete; nobody sees it | until sealed or dropped |
//! | ShardedOpen | id | nothing: shards of it are to be given runs | while so |
//! | ShardedKey | kind, org, env or task or schedule, text | sharded run, fingerprint, when: a window or an idempotency key | with its sharded run |
//! | Shard | sharded run, index | size, state, id of its run, error; what the run works on is its Body | with its sharded run |
//! | ShardOfRun | run id | sharded run, index | with its run |
//! | ShardHeld | sharded run, index | nothing: its run could not be made | until resumed |
//! | ShardError | sharded run, index | nothing: it has an error | while so |
//! | Delivered | run id, kind, key | a result or an error that its agent delivered | with its sharded run, or its run |
//! | HookOf | run id, row id | nothing: the run has a follow-up in the outbox | with that row |
//! | HookDone | when, row id | nothing: a follow-up was done, its attempts are left | 7 days |
//! | Job | job id | a bulk job: what it does to which runs, and how far it is | 30 days after its end |
//! | JobOpen | job id | nothing: it has something to do | until then |
//! | JobRun | job id, run id | nothing: the run is to be acted on | until it is |
//! | Schedule | name | what is wanted of a schedule, who set it | until deleted |
//! | ScheduleProgress | schedule id | which windows are dealt with, pause, open rounds, when it is looked at again | with its rounds |
//! | ScheduleRound | schedule id, round id | a window that was begun or skipped, or a run by hand; counts | the last 20 |
//! | ScheduleSlot | schedule id, round id, org | the run or sharded run that the org got, or why none | with its round |
//! | ScheduleTombstone | name | which windows a deleted schedule had dealt with, when | 30 days, or until one of its name |
//! | Token | token id | an API token: name, role, bounds, hash, times | until revoked or expired, and then some |
//! | User | name | role, hash of the password | until removed |
//! | Session | hash of its secret | user, when it began and was used last | until it ends |
//! | Audit | id | who changed what, when and from where | 90 days |
//! | SetUp | nothing | since when access is controlled | for ever |
//! | Alert | rule, subject | state of an alert: phase, times, what was found | until it is well and cooled down |
//! | AlertMark | rule, subject | highest value that a rule on growth knows, when it was exceeded | while it is measured |
//! | AlertLine | id | what happened to an alert | the last 200, 30 days |
//! | AlertMessage | channel, id | a message to people: what it says, when it is due, attempts | until delivered; given up ones 30 days |
//! | AlertChannel | channel | its last success and its last error | for ever |
//! | Silence | id | which alerts nobody is told of, from when until when | until it is over |
//! | AlertCursor | nothing | the last event of the fleet that alerts know | for ever |
//! | HistorySeries | kind, number, subject | number of a series, the day on which it was last seen | 30 days after that |
//! | HistoryTick | half minute | every measured value, by number of its series | until its hour is over |
//! | HistoryTimes | half minute | how long runs waited and ran, by number of the series | until its hour is over |
//! | HistoryRaw | hour, series | values of its half minutes | 7 days |
//! | HistoryFine | day, series | mean, maximum and count of its five minutes | 30 days |
//! | HistoryCoarse | day, series | mean, maximum and count of its hours | 30 days |
//! | TimesFine | hour, series | histograms of its five minutes | 7 days |
//! | TimesCoarse | day, series | histograms of its hours | 30 days |
//! | TimesFourHours | day, series | histograms of its four hours | 30 days |
//! | HistoryState | nothing | the next number of a series, how far an hour is packed | for ever |
//! | Clock | nothing | what the clock showed last, its steps back that timers have yet to follow | for ever |
//! | Backup | id | a backup that was written or failed, and when it was verified | the last 100 |
//! | Purge | stream number, up to which id | nothing: rows that nobody sees and a duty removes | until removed |

macro_rules! tables {
    ($($name:ident = $number:literal,)*) => {
        /// A table, by the first byte of its keys.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Table { $($name = $number,)* }

        impl Table {
            pub const ALL: &[Table] = &[$(Table::$name,)*];

            pub fn from_number(number: u8) -> Option<Table> {
                match number { $($number => Some(Table::$name),)* _ => None }
            }
        }
    };
}

tables! {
    Meta = 1,
    Run = 2,
    Body = 3,
    Output = 4,
    ByStatus = 5,
    ByTask = 6,
    ByEnv = 7,
    ByTag = 8,
    Idem = 9,
    Remote = 10,
    Count = 11,
    Task = 12,
    Endpoint = 13,
    Outbox = 14,
    Ready = 15,
    Due = 16,
    Dead = 17,
    DeadById = 18,
    Attempt = 19,
    Event = 20,
    Pause = 21,
    Notice = 22,
    Lane = 23,
    Key = 24,
    KeyNumber = 25,
    KeyDue = 26,
    Entry = 27,
    Group = 28,
    Consumer = 29,
    ConsumerName = 30,
    Pending = 31,
    Again = 32,
    Purge = 33,
    Callback = 40,
    CallbackOf = 41,
    Worker = 42,
    WorkerType = 43,
    FleetEvent = 44,
    CallbackAnswer = 45,
    Buffered = 50,
    BufferQueue = 51,
    BufferDead = 52,
    BufferSettings = 53,
    BufferSweep = 54,
    BufferWaits = 55,
    Batch = 60,
    BatchStaged = 61,
    BatchRun = 62,
    BatchKey = 63,
    BatchWork = 64,
    ShardedRun = 65,
    ShardPlan = 66,
    ShardedOpen = 67,
    ShardedKey = 68,
    Shard = 69,
    ShardOfRun = 71,
    ShardHeld = 72,
    ShardError = 73,
    Delivered = 74,
    HookOf = 80,
    HookDone = 81,
    Job = 85,
    JobOpen = 86,
    JobRun = 87,
    Schedule = 75,
    ScheduleProgress = 76,
    ScheduleRound = 77,
    ScheduleSlot = 78,
    ScheduleTombstone = 79,
    Token = 107,
    User = 108,
    Session = 109,
    Audit = 110,
    SetUp = 111,
    Alert = 100,
    AlertMark = 101,
    AlertLine = 102,
    AlertMessage = 103,
    AlertChannel = 104,
    Silence = 105,
    AlertCursor = 106,
    HistorySeries = 90,
    HistoryTick = 91,
    HistoryTimes = 92,
    HistoryRaw = 93,
    HistoryFine = 94,
    HistoryCoarse = 95,
    TimesFine = 96,
    TimesCoarse = 97,
    TimesFourHours = 99,
    HistoryState = 98,
    Backup = 115,
    Clock = 82,
}

/// The number of this layout; raised by a change that an older binary could not read.
pub const FORMAT: u32 = 1;

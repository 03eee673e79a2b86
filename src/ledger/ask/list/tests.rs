//! Pages of runs against a plain filter over all of them.

use proptest::prelude::*;

use super::*;
use crate::base::time::Span as Length;
use crate::ledger::testing::*;

const ORGS: [&str; 3] = ["acme", "umbrella", "zeta"];
const ENVS: [&str; 3] = ["prod", "stage", "test"];
const TAGS: [&str; 3] = ["red", "green", "reddish"];

/// Many runs in several orgs, envs, tasks and states, some of the same millisecond.
fn world(count: usize, seed: u64) -> (World, Vec<Run>) {
    let mut world = World::seeded(seed);
    world.checking = false;
    world.register(push_task("one")).register(push_task("two"));
    let mut state = crate::base::entropy::Entropy::from_seed(seed);
    let mut ids = Vec::new();
    for index in 0..count {
        let mut pick = |bound: usize| state.below(bound as u64) as usize;
        let (org, env, tags) = (pick(3), pick(3), pick(4));
        let (task, delay, end, pause) = (["one", "two"][pick(2)], pick(5) == 0, pick(4), pick(3));
        let receipt = world.submit_with(task, |run| {
            (run.org, run.env) = (n(ORGS[org]), n(ENVS[env]));
            run.tags = TAGS[..tags].iter().map(|tag| (*tag).to_owned()).collect();
            run.delay = delay.then_some(Length::from_hours(9));
            run.idempotency_key = (index % 7 == 0).then(|| format!("key{index}"));
        });
        let id = receipt.unwrap().run.id;
        ids.push(id);
        match end {
            0 => drop(world.cancel(id)),
            1 => {
                for (turn, delivery) in world.claim(task).into_iter().enumerate() {
                    let remote = world.fresh_remote();
                    let answer = [done(remote), http(400, "no"), good(remote)][turn % 3].clone();
                    world.answer(&delivery, answer);
                }
            }
            _ => {}
        }
        world.advance(Length(pause as i64 * 7));
    }
    let runs = ids.into_iter().rev().map(|id| world.run(id)).collect();
    (world, runs)
}

fn pages(world: &World, filter: &Filter, limits: &[usize]) -> Vec<Run> {
    let (mut found, mut before) = (Vec::new(), None);
    for index in 0.. {
        let limit = limits[index % limits.len()];
        let page = world.ask(|rows| list(rows, filter, limit, before)).unwrap();
        assert!(page.runs.len() <= limit);
        assert!(page.partial || page.next.is_none() || page.runs.len() == limit);
        found.extend(page.runs);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    found
}

fn optional<T: Clone + std::fmt::Debug + 'static>(
    values: impl IntoIterator<Item = T>,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![
        1 => Just(None),
        2 => proptest::sample::select(values.into_iter().map(Some).collect::<Vec<_>>()),
    ]
}

prop_compose! {
    fn filters()(
        statuses in proptest::collection::vec(proptest::sample::select(Status::ALL.to_vec()), 0..4),
        task in optional(["one", "two", "none"]),
        org in optional(["acme", "umbrella", "none"]),
        env in optional(["prod", "none"]),
        tag in optional(["red", "reddish", "blue"]),
        from in optional([-5i64, 0, 100, 300]),
        to in optional([0i64, 50, 400, 5_000]),
        words in proptest::collection::vec(
            proptest::sample::select(vec!["on", "red", "key1", "0197", "terminal", "none"]), 0..3),
        key in optional(["key0", "key14", "other"]),
    ) -> Filter {
        Filter {
            statuses,
            task: task.map(n),
            org: org.map(n),
            env: env.map(n),
            tag: tag.map(str::to_owned),
            from: from.map(|ms| START.plus(Length(ms))),
            to: to.map(|ms| START.plus(Length(ms))),
            words: words.into_iter().map(str::to_owned).collect(),
            idempotency_key: key.map(str::to_owned),
            batch: None,
        }
    }
}

/// The filter, told once more in the plainest way.
fn wanted(filter: &Filter, run: &Run) -> bool {
    let mut texts = vec![run.task.to_string()];
    texts.extend(run.tags.clone());
    texts.extend(run.idempotency_key.clone());
    for error in run.error.iter().chain(&run.last_failure) {
        texts.extend([error.code.clone(), error.message.clone()]);
    }
    let mentions = |word: &String| {
        run.id.to_string().starts_with(word) || texts.iter().any(|text| text.contains(word))
    };
    let same = |wanted: &Option<Name>, found: &Name| wanted.as_ref().is_none_or(|w| w == found);
    (filter.statuses.is_empty() || filter.statuses.contains(&run.status))
        && same(&filter.task, &run.task)
        && same(&filter.org, &run.org)
        && same(&filter.env, &run.env)
        && filter.tag.as_ref().is_none_or(|tag| run.tags.contains(tag))
        && filter.from.is_none_or(|from| run.created_at >= from)
        && filter.to.is_none_or(|to| run.created_at < to)
        && filter.words.iter().all(mentions)
        && (filter.idempotency_key.is_none() || filter.idempotency_key == run.idempotency_key)
}

fn ids(runs: &[Run]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_equal_a_plain_filter(
        seed in 0u64..100,
        count in 1usize..260,
        cases in proptest::collection::vec(
            (filters(), proptest::collection::vec(1usize..90, 1..4)), 1..24),
    ) {
        let (world, runs) = world(count, seed);
        for (filter, limits) in cases {
            let expected: Vec<Run> =
                runs.iter().filter(|run| wanted(&filter, run)).cloned().collect();
            prop_assert_eq!(ids(&pages(&world, &filter, &limits)), ids(&expected), "{:?}", filter);
        }
    }
}

#[test]
fn page_looks_at_a_bounded_number() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    world.batching = true;
    let first = world.submit_with("work", |run| run.tags = vec!["rare".to_owned()]).unwrap().run.id;
    for _ in 0..LOOKED_AT_MAX + 100 {
        world.submit("work");
    }
    world.commit();
    let filter = Filter { words: vec!["rare".to_owned()], ..Filter::default() };
    let page = world.ask(|rows| list(rows, &filter, 10, None)).unwrap();
    assert!(page.runs.is_empty() && page.partial && page.next.is_some());
    assert_eq!(ids(&pages(&world, &filter, &[10])), [first]);
    let filter = Filter { tag: Some("rare".to_owned()), ..Filter::default() };
    let page = world.ask(|rows| list(rows, &filter, 10, None)).unwrap();
    assert_eq!((ids(&page.runs), page.next), (vec![first], None), "an index finds it at once");
}

//! How often each kind of thing happens. Every seed has its own mixture, and kinds are switched
//! off altogether now and then, so that rare mixtures occur that equal odds would never show.

use tidegate::base::entropy::Entropy;

/// Kinds with their weights.
#[derive(Clone, Debug)]
pub struct Mix<K> {
    kinds: Vec<(K, u64)>,
    total: u64,
}

impl<K: Copy> Mix<K> {
    /// `always` occur under every seed; each of `sometimes` is off under one seed in three. The
    /// number of a kind says how frequent it is on the whole.
    pub fn random(entropy: &mut Entropy, always: &[(K, u64)], sometimes: &[(K, u64)]) -> Mix<K> {
        let mut kinds = Vec::new();
        for (kind, usual) in always {
            kinds.push((*kind, usual * (1 + entropy.below(4))));
        }
        for (kind, usual) in sometimes {
            let weight = usual * [0, 0, 1, 1, 2, 6][entropy.below(6) as usize];
            kinds.push((*kind, weight));
        }
        let total = kinds.iter().map(|(_, weight)| weight).sum();
        Mix { kinds, total }
    }

    pub fn pick(&self, entropy: &mut Entropy) -> K {
        let mut left = entropy.below(self.total);
        for (kind, weight) in &self.kinds {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        unreachable!("the weights add up to the total")
    }
}

/// One of `choices`.
pub fn one<T: Clone>(entropy: &mut Entropy, choices: &[T]) -> T {
    choices[entropy.below(choices.len() as u64) as usize].clone()
}

/// True once in `n` times.
pub fn once_in(entropy: &mut Entropy, n: u64) -> bool {
    entropy.below(n) == 0
}

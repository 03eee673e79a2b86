//! Which side of the appliance a seed is about: deliveries that go out, work that is pulled, or
//! both at once.

use crate::world::Turn;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Push,
    Pull,
    Both,
}

type Weights = Vec<(Turn, u64)>;

impl Shape {
    /// What happens under every seed of this shape, and what under some.
    pub fn turns(self, usual: &[(Turn, u64)]) -> (Weights, Weights) {
        let mut always = usual.to_vec();
        if self == Shape::Push {
            return (always, Vec::new());
        }
        always.extend([(Turn::Workers, 45), (Turn::Streams, 12), (Turn::Requeue, 4)]);
        (always, vec![(Turn::Purge, 2)])
    }
}

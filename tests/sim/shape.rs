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
    /// How much longer a seed of this shape lives: work that is pulled takes more turns.
    pub fn length(self) -> u32 {
        match self {
            Shape::Push => 1,
            Shape::Pull => 3,
            Shape::Both => 4,
        }
    }

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

//! The shape of a load: connections, and requests that each sends before it waits: `16x16`.

use std::fmt;
use std::str::FromStr;

/// Connections of one measurement.
pub const CONNECTIONS_MAX: usize = 4_000;
/// Requests of one pipeline: its answers fit where they wait while the requests are still sent.
pub const PIPELINE_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub connections: usize,
    pub pipeline: usize,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let wrong = || {
            format!(
                "`{text}`: expected connections `x` pipeline, for example `16x16`, at most \
                 {CONNECTIONS_MAX}x{PIPELINE_MAX}"
            )
        };
        let (connections, pipeline) = text.split_once('x').ok_or_else(wrong)?;
        let part = |text: &str, max: usize| match text.parse::<usize>() {
            Ok(count) if (1..=max).contains(&count) => Ok(count),
            _ => Err(wrong()),
        };
        Ok(Shape {
            connections: part(connections, CONNECTIONS_MAX)?,
            pipeline: part(pipeline, PIPELINE_MAX)?,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.connections, self.pipeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_read_and_print_alike() {
        for (text, connections, pipeline) in
            [("16x16", 16, 16), ("64x16", 64, 16), ("16x1", 16, 1), ("4000x1000", 4_000, 1_000)]
        {
            let shape: Shape = text.parse().unwrap();
            assert_eq!(shape, Shape { connections, pipeline });
            assert_eq!(shape.to_string(), text);
        }
    }

    #[test]
    fn odd_shapes_are_refused() {
        for text in [
            "", "x", "16", "16x", "x16", "0x1", "1x0", "4001x1", "1x1001", "-1x1", "1x1x1",
            "16X16", "16 x 16",
        ] {
            assert!(text.parse::<Shape>().unwrap_err().contains(&format!("`{text}`")), "{text}");
        }
    }
}

//! A heatmap of workers by time, and a line of dots for events, as SVG with a table behind each.

use askama::Template;
use askama::filters::HtmlSafe;

use super::chart::Series;
use super::parts::Tone;
use super::text;
use crate::base::time::{Span, Time};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 8.0;
const ROW: f64 = 18.0;
const TOP: f64 = 4.0;
/// Shares that a cell tells apart: below 5 %, 30 %, 70 %, 100 %, and above.
const STEPS: [f64; 4] = [0.05, 0.3, 0.7, 1.0];
/// Beyond this a share is drawn no hotter.
const SHARE_MAX: f64 = 2.0;

/// How busy each type of workers was.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/heat.html")]
pub struct Heatmap {
    pub height: String,
    pub rows: Vec<HeatRow>,
    pub from: String,
    pub to: String,
}

impl HtmlSafe for Heatmap {}

/// One type of workers.
#[derive(Clone, Debug, Default)]
pub struct HeatRow {
    pub name: String,
    /// The name as far as there is room for it.
    pub short: String,
    pub y: String,
    pub text_y: String,
    pub cells: Vec<Cell>,
    pub mean: String,
    pub peak: String,
}

#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub x: String,
    pub width: String,
    /// 0 to 4.
    pub heat: usize,
    pub text: String,
}

impl Heatmap {
    /// Rows of shares, a value per step; `to` is the start of the last one.
    pub fn new(to: Time, step: Span, rows: Vec<Series>) -> Heatmap {
        let steps = rows.iter().map(|row| row.values.len()).max().unwrap_or(0);
        let back = |count: usize| Span(step.0.saturating_mul(count as i64));
        let time = |at: usize| to.minus(back(steps - 1 - at));
        let width = (WIDTH - LEFT - RIGHT) / steps.max(1) as f64;
        let row = |(index, Series { name, values, peaks, .. }): (usize, Series)| {
            let y = TOP + ROW * index as f64;
            let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
            let cells = values.iter().enumerate().filter(|(_, value)| value.is_finite());
            HeatRow {
                short: shortened(&name),
                y: format!("{y:.1}"),
                text_y: format!("{:.1}", y + ROW - 5.0),
                cells: cells
                    .map(|(at, value)| Cell {
                        x: format!("{:.1}", LEFT + width * at as f64),
                        width: format!("{:.1}", width.max(0.8)),
                        heat: heat_of(*value),
                        text: format!(
                            "{} UTC {name}: {}",
                            text::day_clock(time(at)),
                            share(*value)
                        ),
                    })
                    .collect(),
                mean: share(mean),
                peak: share(peaks.iter().chain(&known).copied().fold(0.0, f64::max)),
                name,
            }
        };
        let rows: Vec<HeatRow> = rows.into_iter().enumerate().map(row).collect();
        let label = |at: usize| if steps == 0 { String::new() } else { text::day_clock(time(at)) };
        Heatmap {
            height: format!("{:.0}", TOP * 2.0 + ROW * rows.len() as f64 + 16.0),
            from: label(0),
            to: label(steps.saturating_sub(1)),
            rows,
        }
    }

    /// Where the labels of times stand.
    pub fn label_y(&self) -> String {
        format!("{:.1}", TOP + ROW * self.rows.len() as f64 + 14.0)
    }
}

fn shortened(name: &str) -> String {
    const MOST: usize = 20;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    let start: String = name.chars().take(MOST - 1).collect();
    start + "…"
}

fn heat_of(share: f64) -> usize {
    let share = share.min(SHARE_MAX);
    STEPS.iter().take_while(|step| share >= **step).count()
}

fn share(value: f64) -> String {
    format!("{} %", text::count((value.max(0.0) * 100.0).round() as u64))
}

/// Events along a window.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/dots.html")]
pub struct Timeline {
    pub dots: Vec<Dot>,
    pub from: String,
    pub to: String,
    /// What happened, in a sentence.
    pub summary: String,
}

impl HtmlSafe for Timeline {}

#[derive(Clone, Debug, Default)]
pub struct Dot {
    pub x: String,
    pub radius: &'static str,
    pub tone: Tone,
    pub text: String,
}

impl Timeline {
    /// Dots at moments of a window: tone, whether it is critical, and what it says.
    pub fn new(from: Time, to: Time, events: Vec<(Time, Tone, bool, String)>) -> Timeline {
        let whole = to.since(from).0.max(1) as f64;
        let summary = match events.len() {
            0 => "nothing happened".to_owned(),
            count => {
                let critical = events.iter().filter(|(_, _, critical, _)| *critical).count();
                format!("{} events, {critical} of them critical", text::count(count as u64))
            }
        };
        let dot = |(at, tone, critical, what): (Time, Tone, bool, String)| Dot {
            x: format!("{:.1}", 10.0 + (WIDTH - 20.0) * at.since(from).0 as f64 / whole),
            radius: if critical { "6" } else { "4" },
            tone,
            text: format!("{} {what}", text::exact(at)),
        };
        Timeline {
            dots: events.into_iter().map(dot).collect(),
            from: text::day_clock(from),
            to: text::day_clock(to),
            summary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_told_apart_by_share() {
        for (share, heat) in
            [(0.0, 0), (0.05, 1), (0.29, 1), (0.3, 2), (0.7, 3), (1.0, 4), (9.0, 4)]
        {
            assert_eq!(heat_of(share), heat, "{share}");
        }
        let rows = vec![Series {
            name: "a long name of a worker type".to_owned(),
            tone: Tone::default(),
            values: vec![0.5, f64::NAN, 1.5],
            peaks: vec![0.7, f64::NAN, 4.0],
        }];
        let map = Heatmap::new(Time(1_700_000_000_000), Span::from_secs(600), rows);
        let row = &map.rows[0];
        assert_eq!((row.cells.len(), row.mean.as_str(), row.peak.as_str()), (2, "100 %", "400 %"));
        assert_eq!(row.short.chars().count(), 20);
        assert!(Heatmap::new(Time(0), Span(1), Vec::new()).rows.is_empty());
    }

    #[test]
    fn dots_stay_on_their_line() {
        let event = |at| (Time(at), Tone::Red, true, "gone".to_owned());
        let line = Timeline::new(Time(0), Time(1_000), vec![event(0), event(1_000)]);
        assert_eq!((line.dots[0].x.as_str(), line.dots[1].x.as_str()), ("10.0", "750.0"));
        assert_eq!(line.summary, "2 events, 2 of them critical");
    }
}

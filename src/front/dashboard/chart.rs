//! Line charts as SVG, drawn on the server: scales, ticks, paths, and a table with the same values.
//!
//! Colours come from classes and `currentColor`, so one drawing serves both themes. Each moment has
//! an invisible column with a `<title>`, which is the hover text without any script.

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::Tone;
use super::text;
use crate::base::time::{Span, Time};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// From this length on times are told with their day.
const LONG: Span = Span::from_hours(20);
/// More rows than this are averaged in the table.
const TABLE_ROWS_MAX: usize = 30;

/// What the values of a chart are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    #[default]
    PerSecond,
    Count,
    Millis,
    Bytes,
    Percent,
}

impl Unit {
    /// A value as it is read; a dash for a gap.
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return text::NOTHING.to_owned();
        }
        match self {
            Unit::Count if value >= 0.0 && value.fract() == 0.0 => text::count(value as u64),
            // A mean of counts has decimals.
            Unit::PerSecond | Unit::Count => text::rate(value),
            Unit::Millis => text::micros((value.max(0.0) * 1_000.0).round() as u64),
            Unit::Bytes => text::bytes(value.max(0.0).round() as u64),
            Unit::Percent => format!("{} %", text::rate(value)),
        }
    }

    /// What stands behind a name or a value.
    fn suffix(self) -> &'static str {
        if self == Unit::PerSecond { "/s" } else { "" }
    }

    fn axis(self, value: f64) -> String {
        match self {
            Unit::PerSecond | Unit::Count | Unit::Percent => axis_label(value),
            // There is little room beside an axis.
            Unit::Millis | Unit::Bytes => self.show(value).replace(' ', ""),
        }
    }
}

/// One line: its name and a value per step, oldest first; what is not finite is a gap.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub name: String,
    pub tone: Tone,
    pub values: Vec<f64>,
}

/// A finished drawing; prints itself as a `<figure>`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/chart.html")]
pub struct Chart {
    /// Unique on its page.
    pub id: String,
    /// What is drawn, in words, with the unit: `Runs per second, last 30 minutes`.
    pub title: String,
    /// The values in one sentence, for those who do not see the drawing.
    pub summary: String,
    /// Stands behind the names of columns.
    pub suffix: &'static str,
    /// No values at all: a note stands in place of the drawing.
    pub empty: bool,
    pub y_ticks: Vec<Tick>,
    pub x_ticks: Vec<Tick>,
    pub lines: Vec<Line>,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

impl HtmlSafe for Chart {}

/// A labelled place on an axis.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    pub at: String,
    pub label: String,
}

/// A drawn series.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub name: String,
    pub tone: Tone,
    /// The latest value, for the legend.
    pub latest: String,
    pub path: String,
}

/// The hover area of one step.
#[derive(Clone, Debug, Default)]
pub struct Column {
    pub x: String,
    pub width: String,
    pub text: String,
}

/// One row of the table.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub time: String,
    pub cells: Vec<String>,
}

impl Chart {
    /// Draws `series` of equal length whose last value ends at `to`, one value per `step`.
    pub fn rates(id: &str, title: &str, to: Time, step: Span, series: &[Series]) -> Chart {
        Chart::of(id, title, Unit::PerSecond, (to, step), series)
    }

    /// The same of any unit.
    pub fn of(
        id: &str,
        title: &str,
        unit: Unit,
        (to, step): (Time, Span),
        series: &[Series],
    ) -> Chart {
        let steps = series.iter().map(|one| one.values.len()).max().unwrap_or(0);
        let mut chart = Chart {
            id: id.to_owned(),
            title: title.to_owned(),
            suffix: unit.suffix(),
            ..Chart::default()
        };
        let any = series.iter().any(|one| one.values.iter().any(|value| value.is_finite()));
        if steps < 2 || !any {
            chart.empty = true;
            "no values yet".clone_into(&mut chart.summary);
            return chart;
        }
        let plane = Plane { steps, top: top_of(series), to, step, unit };
        chart.summary = summary(series, unit);
        chart.y_ticks = plane.y_ticks();
        chart.x_ticks = plane.x_ticks();
        chart.lines = series.iter().map(|one| plane.line(one)).collect();
        chart.columns = (0..steps).map(|at| plane.column(at, series)).collect();
        chart.rows = plane.rows(series);
        chart
    }

    /// Right end of the grid lines.
    pub fn grid_right(&self) -> f64 {
        WIDTH - RIGHT
    }
}

/// The highest value, not below 1 so that a quiet half hour does not look busy.
fn top_of(series: &[Series]) -> f64 {
    let highest = series.iter().flat_map(|one| &one.values).copied().filter(|v| v.is_finite());
    nice_top(highest.fold(1.0, f64::max))
}

/// The next of 1, 2, 4, 6, 8, 10 times a power of ten: quarters of these are short to write.
fn nice_top(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0]
        .iter()
        .map(|step| step * power)
        .find(|top| *top >= value)
        .unwrap_or(10.0 * power)
}

/// The last value that is known.
fn latest(series: &Series) -> f64 {
    series.values.iter().rev().copied().find(|value| value.is_finite()).unwrap_or(f64::NAN)
}

fn summary(series: &[Series], unit: Unit) -> String {
    let parts: Vec<String> = series
        .iter()
        .map(|one| {
            let highest = one.values.iter().copied().fold(0.0, f64::max);
            let (latest, highest) = (unit.show(latest(one)), unit.show(highest));
            format!("{} now {latest}, at most {highest}", one.name)
        })
        .collect();
    parts.join("; ")
}

/// The coordinate system of one drawing.
struct Plane {
    steps: usize,
    top: f64,
    to: Time,
    step: Span,
    unit: Unit,
}

impl Plane {
    /// Times of day do not tell days apart.
    fn label(&self, at: Time, short: bool) -> String {
        let whole = self.step.0.saturating_mul(i64::try_from(self.steps).unwrap_or(i64::MAX));
        match whole >= LONG.0 {
            true => text::day_clock(at),
            false if short => text::clock_short(at),
            false => text::clock(at),
        }
    }

    fn x(&self, at: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / (self.steps - 1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value / self.top).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }

    fn time(&self, at: usize) -> Time {
        let steps_back = i64::try_from(self.steps - 1 - at).unwrap_or(0);
        self.to.minus(Span(self.step.0.saturating_mul(steps_back)))
    }

    fn y_ticks(&self) -> Vec<Tick> {
        (0..=4)
            .map(|quarter| {
                let value = self.top * f64::from(quarter) / 4.0;
                Tick { at: coordinate(self.y(value)), label: self.unit.axis(value) }
            })
            .collect()
    }

    fn x_ticks(&self) -> Vec<Tick> {
        let parts = 6.min(self.steps - 1);
        let apart = self.step.0.saturating_mul((self.steps - 1).try_into().unwrap_or(i64::MAX))
            / i64::try_from(parts).unwrap_or(1);
        // Ticks within one minute would all carry the same label.
        let short = apart >= 60_000;
        (0..=parts)
            .map(|part| {
                let at = (self.steps - 1) * part / parts;
                Tick { at: coordinate(self.x(at)), label: self.label(self.time(at), short) }
            })
            .collect()
    }

    fn line(&self, series: &Series) -> Line {
        let mut path = String::with_capacity(series.values.len() * 12);
        let mut pen_down = false;
        for (at, value) in series.values.iter().enumerate() {
            if !value.is_finite() {
                pen_down = false;
                continue;
            }
            path.push(if pen_down { 'L' } else { 'M' });
            path.push_str(&format!("{:.1} {:.1}", self.x(at), self.y(*value)));
            let alone = |next: Option<&f64>| next.is_none_or(|next| !next.is_finite());
            if !pen_down && alone(series.values.get(at + 1)) {
                // Between two gaps a value is a dot.
                path.push_str("h.1");
            }
            pen_down = true;
        }
        let latest = self.unit.show(latest(series));
        Line { name: series.name.clone(), tone: series.tone, latest, path }
    }

    fn column(&self, at: usize, series: &[Series]) -> Column {
        let width = (WIDTH - LEFT - RIGHT) / (self.steps - 1) as f64;
        let left = (self.x(at) - width / 2.0).max(LEFT);
        let right = (self.x(at) + width / 2.0).min(WIDTH - RIGHT);
        let mut text = self.label(self.time(at), false);
        for one in series {
            let value = one.values.get(at).copied().unwrap_or(f64::NAN);
            let (value, suffix) = (self.unit.show(value), self.unit.suffix());
            text.push_str(&format!("\n{}: {value}{suffix}", one.name));
        }
        Column { x: coordinate(left), width: coordinate(right - left), text }
    }

    fn rows(&self, series: &[Series]) -> Vec<Row> {
        let group = self.steps.div_ceil(TABLE_ROWS_MAX);
        let starts = (0..self.steps).step_by(group);
        let mut rows: Vec<Row> = starts
            .map(|start| Row {
                time: self.label(self.time(start), false),
                cells: series.iter().map(|one| self.unit.show(mean(one, start, group))).collect(),
            })
            .collect();
        rows.reverse();
        rows
    }
}

fn mean(series: &Series, start: usize, length: usize) -> f64 {
    let values = series.values.iter().skip(start).take(length).copied();
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

/// Ticks name exact quarters, so `0.25` must not become `0.3`.
fn axis_label(value: f64) -> String {
    if value >= 1_000_000.0 {
        format!("{}M", value / 1_000_000.0)
    } else if value >= 1_000.0 {
        format!("{}k", value / 1_000.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series { name: "created".to_owned(), tone: Tone::Blue, values: values.to_vec() }
    }

    #[test]
    fn tops_are_round_numbers() {
        for (value, top) in [(1.0, 1.0), (1.1, 2.0), (3.9, 4.0), (41.0, 60.0), (810.0, 1_000.0)] {
            assert_eq!(nice_top(value), top, "{value}");
        }
    }

    #[test]
    fn lines_stay_inside_the_drawing() {
        let now = Time(1_700_000_000_000);
        let odd = series(&[0.0, -5.0, f64::NAN, 7.5, f64::INFINITY, 3.0]);
        let chart = Chart::rates("c", "Runs", now, Span::from_secs(10), &[odd]);
        let line = &chart.lines[0];
        assert_eq!(line.path.matches('M').count(), 3, "gaps lift the pen: {}", line.path);
        assert_eq!(line.path.matches("h.1").count(), 2, "single values are dots: {}", line.path);
        assert_eq!((chart.y_ticks[0].label.as_str(), chart.y_ticks[4].label.as_str()), ("0", "8"));
        assert!(chart.columns.len() == 6 && chart.columns[5].text.starts_with("22:13:20"));
    }

    #[test]
    fn few_values_draw_a_note() {
        let chart = Chart::rates("c", "Runs", Time(0), Span::from_secs(10), &[series(&[1.0])]);
        assert!(chart.empty && chart.lines.is_empty());
        assert!(Chart::rates("c", "Runs", Time(0), Span::from_secs(10), &[]).empty);
    }

    #[test]
    fn tables_average_long_series() {
        let values: Vec<f64> = (0..180).map(f64::from).collect();
        let now = Time(1_700_000_000_000);
        let chart = Chart::rates("c", "Runs", now, Span::from_secs(10), &[series(&values)]);
        assert_eq!(chart.rows.len(), 30);
        assert_eq!(chart.rows[0].cells, ["177"]);
    }
}

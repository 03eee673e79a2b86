//! Line charts as SVG, drawn on the server: scales, ticks, paths, and a table with the same values.
//!
//! Colours come from classes and `currentColor`, so one drawing serves both themes. Each moment has
//! an invisible column with a `<title>`, which is the hover text without any script.

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::Tone;
use super::text;
pub use super::unit::Unit;
use crate::base::time::{Span, Time};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// From this length on times are told with their day.
const LONG: Span = Span::from_hours(20);
/// More steps than this are gathered into rows of the table.
const TABLE_ROWS_MAX: usize = 30;

/// One line: its name and a value per step, oldest first; what is not finite is a gap.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub name: String,
    pub tone: Tone,
    pub values: Vec<f64>,
    /// The highest within each step, where a value is a mean: a spike must not hide in it. Empty where
    /// a value is all there is.
    pub peaks: Vec<f64>,
}

impl Series {
    /// The highest of a step.
    fn peak(&self, at: usize) -> f64 {
        let value = self.values.get(at).copied().unwrap_or(f64::NAN);
        self.peaks.get(at).copied().filter(|peak| peak.is_finite()).unwrap_or(value)
    }

    fn highest(&self) -> f64 {
        let peaks = (0..self.values.len()).map(|at| self.peak(at));
        peaks.filter(|peak| peak.is_finite()).fold(f64::NAN, f64::max)
    }
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
    /// There are thin lines of what was highest.
    pub has_peaks: bool,
    /// What a row of the table holds, if that is more than one value.
    pub rows_note: String,
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
    /// The last value, for the legend; a dash if nothing was measured at the end.
    pub latest: String,
    pub path: String,
    /// The same of what was highest; empty for none.
    pub peaks: String,
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
        let plane = Plane { steps, top: top_of(series, unit), to, step, unit };
        chart.summary = summary(series, unit);
        chart.y_ticks = plane.y_ticks();
        chart.x_ticks = plane.x_ticks();
        chart.lines = series.iter().map(|one| plane.line(one)).collect();
        chart.columns = (0..steps).map(|at| plane.column(at, series)).collect();
        chart.rows = plane.rows(series);
        chart.has_peaks = chart.lines.iter().any(|line| !line.peaks.is_empty());
        chart.rows_note = plane.rows_note(chart.has_peaks);
        chart
    }

    /// Right end of the grid lines.
    pub fn grid_right(&self) -> f64 {
        WIDTH - RIGHT
    }
}

/// The highest value, not below 1 so that a quiet half hour does not look busy; of times in the unit
/// of their labels, so that these are round.
fn top_of(series: &[Series], unit: Unit) -> f64 {
    let highest = series.iter().map(Series::highest).fold(1.0, f64::max);
    let scale = match (unit, highest) {
        (Unit::Millis, 1_000.0..=80_000.0) => 1_000.0,
        (Unit::Millis, 80_000.0..=4_800_000.0) => 60_000.0,
        (Unit::Millis, 4_800_000.0..=144_000_000.0) => 3_600_000.0,
        (Unit::Millis, 144_000_000.0..) => 86_400_000.0,
        _ => 1.0,
    };
    nice_top(highest / scale) * scale
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

/// The value at the end. The last step may be too young to have one; further back it would no more
/// be how things are.
fn latest(series: &Series) -> f64 {
    let mut last = series.values.iter().rev().take(2).copied();
    last.find(|value| value.is_finite()).unwrap_or(f64::NAN)
}

fn summary(series: &[Series], unit: Unit) -> String {
    let parts: Vec<String> = series
        .iter()
        .map(|one| {
            let (latest, highest) = (unit.show(latest(one)), unit.show(one.highest()));
            format!("{}: {latest} at the end, {highest} at most", one.name)
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
        let above = |at: usize| series.peak(at) > series.values[at];
        let peaks = match (0..series.values.len()).any(above) {
            true => self.path((0..series.values.len()).map(|at| series.peak(at))),
            false => String::new(),
        };
        Line {
            name: series.name.clone(),
            tone: series.tone,
            latest: self.unit.show(latest(series)),
            path: self.path(series.values.iter().copied()),
            peaks,
        }
    }

    /// A path through values; gaps lift the pen.
    fn path(&self, values: impl Iterator<Item = f64>) -> String {
        let mut path = String::new();
        let mut values = values.enumerate().peekable();
        let mut pen_down = false;
        while let Some((at, value)) = values.next() {
            if !value.is_finite() {
                pen_down = false;
                continue;
            }
            path.push(if pen_down { 'L' } else { 'M' });
            path.push_str(&format!("{:.1} {:.1}", self.x(at), self.y(value)));
            let alone = values.peek().is_none_or(|(_, next)| !next.is_finite());
            if !pen_down && alone {
                // Between two gaps a value is a dot.
                path.push_str("h2");
            }
            pen_down = true;
        }
        path
    }

    fn column(&self, at: usize, series: &[Series]) -> Column {
        let width = (WIDTH - LEFT - RIGHT) / (self.steps - 1) as f64;
        let left = (self.x(at) - width / 2.0).max(LEFT);
        let right = (self.x(at) + width / 2.0).min(WIDTH - RIGHT);
        let mut text = format!("{} UTC", self.label(self.time(at), false));
        for one in series {
            let value = one.values.get(at).copied().unwrap_or(f64::NAN);
            let (value, suffix) = (self.unit.show(value), self.unit.suffix());
            text.push_str(&format!("\n{}: {value}{suffix}", one.name));
            if one.peak(at) > one.values.get(at).copied().unwrap_or(f64::NAN) {
                text.push_str(&format!(", highest {}{suffix}", self.unit.show(one.peak(at))));
            }
        }
        Column { x: coordinate(left), width: coordinate(right - left), text }
    }

    /// Steps of a row of the table.
    fn group(&self) -> usize {
        self.steps.div_ceil(TABLE_ROWS_MAX)
    }

    fn rows(&self, series: &[Series]) -> Vec<Row> {
        let group = self.group();
        let starts = (0..self.steps).step_by(group);
        let mut rows: Vec<Row> = starts
            .map(|start| Row {
                time: self.label(self.time(start), false),
                cells: series.iter().map(|one| self.cell(one, start, group)).collect(),
            })
            .collect();
        rows.reverse();
        rows
    }

    /// Mean and highest of some steps; of lengths of time the highest, since percentiles have no
    /// mean.
    fn cell(&self, series: &Series, start: usize, group: usize) -> String {
        let steps = start..(start + group).min(series.values.len());
        let highest =
            self.unit.show(steps.clone().map(|at| series.peak(at)).fold(f64::NAN, f64::max));
        if self.unit == Unit::Millis {
            return highest;
        }
        let known = steps.map(|at| series.values[at]).filter(|value| value.is_finite());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        let mean = self.unit.show(sum / count);
        if mean == highest { mean } else { format!("{mean} ({highest})") }
    }

    fn rows_note(&self, has_peaks: bool) -> String {
        let row = text::span(Span(self.step.0.saturating_mul(self.group() as i64)));
        match (self.unit, self.group() > 1 || has_peaks) {
            (_, false) => String::new(),
            (Unit::Millis, true) => format!("The highest of each {row}."),
            (_, true) => format!("The mean of each {row}, and in brackets the highest."),
        }
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        let (name, values) = ("created".to_owned(), values.to_vec());
        Series { name, tone: Tone::Blue, values, peaks: Vec::new() }
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
        assert_eq!(line.path.matches("h2").count(), 2, "single values are dots: {}", line.path);
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
    fn tables_gather_long_series_and_hide_no_spike() {
        let mut values: Vec<f64> = (0..180).map(f64::from).collect();
        values[170] = 900.0;
        let (now, step) = (Time(1_700_000_000_000), Span::from_secs(10));
        let chart = Chart::rates("c", "Runs", now, step, &[series(&values)]);
        assert_eq!(chart.rows.len(), 30);
        assert_eq!(
            (chart.rows[0].cells[0].as_str(), chart.rows[1].cells[0].as_str()),
            ("177 (179)", "292 (900)")
        );
        assert_eq!(chart.rows_note, "The mean of each 60 s, and in brackets the highest.");
        let chart = Chart::of("c", "Run time", Unit::Millis, (now, step), &[series(&values)]);
        assert_eq!(
            (chart.rows[1].cells[0].as_str(), chart.rows_note.as_str()),
            ("900 ms", "The highest of each 60 s.")
        );
    }

    #[test]
    fn axes_of_times_have_round_labels() {
        for (highest, labels) in [
            (748_000.0, ["0", "5min", "10min", "15min", "20min"]),
            (90_000.0, ["0", "30s", "60s", "90s", "2min"]),
            (3_300.0, ["0", "1s", "2s", "3s", "4s"]),
            (150_000_000.0, ["0", "12h", "24h", "36h", "2d"]),
        ] {
            let line = series(&[0.0, highest]);
            let chart = Chart::of("c", "Wait", Unit::Millis, (Time(0), Span(1_000)), &[line]);
            let told: Vec<&str> = chart.y_ticks.iter().map(|tick| tick.label.as_str()).collect();
            assert_eq!(told, labels, "{highest}");
        }
    }

    #[test]
    fn spikes_within_a_step_are_drawn_and_told() {
        let mut line = series(&[1.0, 2.0, f64::NAN, 1.0]);
        line.peaks = vec![1.0, 70.0, f64::NAN, 1.0];
        let chart = Chart::rates("c", "Runs", Time(0), Span::from_hours(4), &[line]);
        assert!(chart.has_peaks && chart.lines[0].peaks.matches('M').count() == 2);
        assert_eq!(chart.y_ticks[4].label, "80");
        assert!(
            chart.columns[1].text.contains("created: 2.0/s, highest 70/s"),
            "{:?}",
            chart.columns
        );
        assert!(chart.summary.contains("70 at most"), "{}", chart.summary);
        let flat = Chart::rates("c", "Runs", Time(0), Span::from_hours(4), &[series(&[1.0, 1.0])]);
        assert!(!flat.has_peaks && flat.rows_note.is_empty());
    }

    #[test]
    fn the_last_value_is_not_from_before_a_gap() {
        let latest = |values: &[f64]| {
            let chart = Chart::rates("c", "Runs", Time(0), Span::from_secs(30), &[series(values)]);
            chart.lines[0].latest.clone()
        };
        assert_eq!(latest(&[1.0, 7.0, f64::NAN]), "7.0");
        assert_eq!(latest(&[1.0, 7.0, f64::NAN, f64::NAN]), "–");
    }
}

//! Charts as inline SVG: plotters lays out axes, ticks and labels and says where a value lies; lines,
//! bars and points are drawn on top with CSS classes (so that the page's light and dark colours and
//! its print style hold) and a `<title>` each, which browsers show as a tooltip.
//!
//! Colours are Okabe and Ito's; a series also has a shape of its own (circle, square, …) or a dash.

use crate::error::{Error, Result};
use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Write as _;

/// Width and height of a chart in CSS pixels: one column of a phone.
const SIZE: (u32, u32) = (360, 224);
/// plotters draws on whole pixels; drawing larger and letting the view box shrink it keeps lines smooth.
const FINE: u32 = 4;
/// The most points of a line that get a tooltip.
const TIPS: usize = 64;

/// A line.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Which colour and shape.
    pub ink: usize,
    /// Drawn with dashes.
    pub dash: bool,
    /// Its points, by x.
    pub points: Vec<(f64, f64)>,
}

/// A group of bars of one colour, one for each label.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// The name in the legend.
    pub name: String,
    /// Which colour.
    pub ink: usize,
    /// Heights; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
}

/// What surrounds the data.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The caption.
    pub title: String,
    /// What the horizontal axis is, for captions and tables.
    pub x: String,
    /// Bounds of the vertical axis, where the data shall not choose them.
    pub y: Option<(f64, f64)>,
    /// A logarithmic vertical axis.
    pub log: bool,
}

/// A number as charts and tables write it: four digits.
pub fn number(v: f64) -> String {
    let size = v.abs();
    match size {
        _ if v == 0.0 => "0".into(),
        _ if !v.is_finite() => v.to_string(),
        _ if !(1e-3..1e5).contains(&size) => format!("{v:.2e}"),
        _ if size >= 1000.0 => format!("{v:.0}"),
        _ => {
            let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
            let text = format!("{v:.digits$}");
            let text = if text.contains('.') { text.trim_end_matches('0') } else { &text };
            text.trim_end_matches('.').into()
        }
    }
}

impl Frame {
    fn to_axis(&self, y: f64) -> f64 {
        if self.log { y.max(1e-12).log10() } else { y }
    }

    /// Bounds of the vertical axis around `values`, with room.
    fn y_range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Some((low, high)) = self.y {
            return (self.to_axis(low), self.to_axis(high));
        }
        let values = values.filter(|v| v.is_finite() && !(self.log && *v <= 0.0));
        let (low, high) = values
            .map(|v| self.to_axis(v))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        match (low.is_finite(), self.log) {
            (false, _) => (0.0, 1.0),
            (true, true) => (low.floor(), high.ceil().max(low.floor() + 1.0)),
            // From zero where the data is not far from it.
            (true, false) => {
                let low = if low > 0.0 && low < 0.6 * high { 0.0 } else { low };
                let room = ((high - low) * 0.06).max(1e-9 + high.abs() * 1e-3);
                (if low == 0.0 { 0.0 } else { low - room }, high + room)
            }
        }
    }

    fn tick(&self, v: f64) -> String {
        if self.log { number(10f64.powf(v)) } else { number((v * 1e9).round() / 1e9) }
    }
}

/// The areas of a chart: its drawn axes, and where values lie in CSS pixels.
struct Axes {
    svg: String,
    x: (f64, f64),
    y: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Axes {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top))
    }
}

fn drawing(e: impl std::fmt::Display) -> Error {
    Error::Failure(format!("a chart: {e}"))
}

/// Draws axes with plotters; `x_labels` 0 leaves the horizontal axis without numbers and makes room
/// for `below` pixels of other labels.
fn axes(
    frame: &Frame,
    x: (f64, f64),
    y: (f64, f64),
    x_labels: usize,
    below: u32,
    whole: bool,
) -> Result<Axes> {
    let mut svg = String::new();
    let corners;
    {
        let size = (SIZE.0 * FINE, SIZE.1 * FINE);
        let root: DrawingArea<SVGBackend<'_>, Shift> =
            SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6 * FINE)
            .margin_right(12 * FINE)
            .x_label_area_size(below * FINE)
            .y_label_area_size(44 * FINE)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)
            .map_err(drawing)?;
        let y_labels = if frame.log { ((y.1 - y.0).round() as usize + 1).min(7) } else { 5 };
        let font = ("sans-serif", 13 * FINE);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK)
            .axis_style(BLACK)
            .set_all_tick_mark_size(FINE * 3)
            .x_labels(x_labels)
            .y_labels(y_labels)
            .x_label_style(font)
            .y_label_style(font)
            .x_label_formatter(&|v| match (x_labels, whole) {
                (0, _) => String::new(),
                (_, true) if v.fract().abs() > 1e-6 => String::new(),
                _ => number(*v),
            })
            .y_label_formatter(&|v| frame.tick(*v))
            .draw()
            .map_err(drawing)?;
        let (low, high) = (chart.backend_coord(&(x.0, y.0)), chart.backend_coord(&(x.1, y.1)));
        corners = (low, high);
        root.present().map_err(drawing)?;
    }
    let css = |v: i32| f64::from(v) / f64::from(FINE);
    let ((left, bottom), (right, top)) = corners;
    Ok(Axes { svg, x, y, left: css(left), right: css(right), top: css(top), bottom: css(bottom) })
}

/// Joins plotters' axes and the marks into one labelled picture.
fn finish(axes: Axes, title: &str, marks: &str) -> Markup {
    let inner = axes.svg.split_once('>').map_or("", |(_, rest)| rest);
    let inner = inner.rsplit_once("</svg>").map_or(inner, |(body, _)| body);
    let (w, h) = (SIZE.0 * FINE, SIZE.1 * FINE);
    html! {
        svg.chart viewBox=(format!("0 0 {w} {h}")) role="img" aria-label=(title) {
            g.axes { (PreEscaped(inner)) }
            g transform=(format!("scale({FINE})")) { (PreEscaped(marks)) }
        }
    }
}

fn escape(text: &str) -> String {
    html! { (text) }.into_string()
}

/// A point's shape by its ink, so that colour is not all that tells series apart.
fn mark(out: &mut String, ink: usize, (x, y): (f64, f64), seen: bool, tip: &str) {
    let class = if seen { format!("m i{ink}") } else { "m tip".into() };
    let tip = escape(tip);
    let _ = match ink % 3 {
        _ if !seen => {
            write!(
                out,
                r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="5"><title>{tip}</title></circle>"#
            )
        }
        0 => write!(
            out,
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3"><title>{tip}</title></circle>"#
        ),
        1 => write!(
            out,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="5.4" height="5.4"><title>{tip}</title></rect>"#,
            x - 2.7,
            y - 2.7
        ),
        _ => write!(
            out,
            r#"<path class="{class}" d="M{x:.1} {:.1}l3.6 6.2h-7.2z"><title>{tip}</title></path>"#,
            y - 3.8
        ),
    };
}

/// Lines over a numeric axis.
///
/// # Errors
/// What plotters reports.
pub fn lines(frame: &Frame, series: &[Series]) -> Result<Markup> {
    let all = || series.iter().flat_map(|s| s.points.iter());
    let xs = all().map(|p| p.0).filter(|v| v.is_finite());
    let (low, high) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let x = match (low.is_finite(), high > low) {
        (false, _) => (0.0, 1.0),
        (true, false) => (low - 0.5, low + 0.5),
        (true, true) => (low, high),
    };
    let whole = all().all(|p| p.0.fract() == 0.0);
    let labels = if whole { ((x.1 - x.0) as usize + 1).clamp(2, 7) } else { 6 };
    let axes = axes(frame, x, frame.y_range(all().map(|p| p.1)), labels, 24, whole)?;
    let mut marks = String::new();
    for s in series {
        let drawn = |y: f64| y.is_finite() && !(frame.log && y <= 0.0);
        let points: Vec<_> = s.points.iter().filter(|(_, y)| drawn(*y)).collect();
        let at = |p: &(f64, f64)| axes.at((p.0, frame.to_axis(p.1)));
        let path: Vec<String> =
            points.iter().map(|p| at(p)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash = if s.dash { " dash" } else { "" };
        let _ =
            write!(marks, r#"<polyline class="l i{}{dash}" points="{}"/>"#, s.ink, path.join(" "));
        let seen = points.len() <= 24;
        for p in points.iter().step_by(points.len().div_ceil(TIPS).max(1)) {
            let tip = format!("{}, {} {}: {}", s.name, frame.x, number(p.0), number(p.1));
            mark(&mut marks, s.ink, at(p), seen, &tip);
        }
    }
    Ok(finish(axes, &frame.title, &marks))
}

/// Bars in groups, one group a label.
///
/// # Errors
/// What plotters reports.
pub fn bars(frame: &Frame, labels: &[String], groups: &[Bars]) -> Result<Markup> {
    let named = labels.len() <= 12;
    let below = if labels.len() > 4 && named { 58 } else { 24 };
    let values = || groups.iter().flat_map(|g| g.values.iter().flatten().copied());
    let (low, high) = frame.y_range(values().chain([if frame.log { 1.0 } else { 0.0 }]));
    let numbers = if named { 0 } else { 6 };
    let axes = axes(frame, (0.0, labels.len() as f64), (low, high), numbers, below, true)?;
    let mut marks = String::new();
    let width = 0.8 / groups.len().max(1) as f64;
    for (at, group) in groups.iter().enumerate() {
        for (i, value) in group.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let label = labels.get(i).map_or("", String::as_str);
            let x = i as f64 + 0.1 + at as f64 * width;
            let (left, top) = axes.at((x, frame.to_axis(*value).clamp(low, high)));
            let (right, _) = axes.at((x + width * 0.94, low));
            let tip = escape(&format!("{}, {label}: {}", group.name, number(*value)));
            let _ = write!(
                marks,
                r#"<rect class="b i{}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{tip}</title></rect>"#,
                group.ink,
                (right - left).max(0.6),
                (axes.bottom - top).max(0.6)
            );
        }
    }
    if named {
        for (i, label) in labels.iter().enumerate() {
            let (x, _) = axes.at((i as f64 + 0.5, low));
            let y = axes.bottom + 10.0;
            let text = escape(&shorten(label, 14));
            let _ = if labels.len() <= 4 {
                write!(
                    marks,
                    r#"<text class="t" x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                    y + 5.0
                )
            } else {
                write!(
                    marks,
                    r#"<text class="t" x="{x:.1}" y="{y:.1}" text-anchor="end" transform="rotate(-40 {x:.1} {y:.1})">{text}</text>"#
                )
            };
        }
    }
    Ok(finish(axes, &frame.title, &marks))
}

/// At most `most` characters, an ellipsis for the rest.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// One cell of a [`grid`]: how much ink between 0 and 1, and its tooltip.
pub type Cell = Option<(f64, String)>;

/// A picture of cells, rows by columns, with names along both sides where they fit.
pub fn grid(
    title: &str,
    rows: &[String],
    columns: &[String],
    cell: impl Fn(usize, usize) -> Cell,
) -> Markup {
    let named = rows.len() <= 48;
    let margin = if named { 92.0 } else { 4.0 };
    let width = f64::from(SIZE.0);
    let side = (width - margin - 4.0) / columns.len().max(1) as f64;
    let height = side.min(28.0).max(if named { 11.0 } else { 0.0 });
    let foot = if columns.len() <= 24 { 62.0 } else { 4.0 };
    let total = height * rows.len() as f64;
    let mut marks = String::new();
    for (r, row) in rows.iter().enumerate() {
        let y = r as f64 * height;
        if named {
            let text = escape(&shorten(row, 16));
            let _ = write!(
                marks,
                r#"<text class="t" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                margin - 4.0,
                y + height / 2.0 + 3.5
            );
        }
        for c in 0..columns.len() {
            let Some((ink, tip)) = cell(r, c) else { continue };
            let _ = write!(
                marks,
                r#"<rect class="c" x="{:.2}" y="{y:.2}" width="{side:.2}" height="{height:.2}" fill-opacity="{:.3}"><title>{}</title></rect>"#,
                margin + c as f64 * side,
                ink.clamp(0.0, 1.0),
                escape(&tip)
            );
        }
    }
    if foot > 10.0 {
        for (c, column) in columns.iter().enumerate() {
            let (x, y) = (margin + (c as f64 + 0.6) * side, total + 9.0);
            let text = escape(&shorten(column, 12));
            let _ = write!(
                marks,
                r#"<text class="t" x="{x:.1}" y="{y:.1}" text-anchor="end" transform="rotate(-40 {x:.1} {y:.1})">{text}</text>"#
            );
        }
    }
    html! {
        svg.chart viewBox=(format!("0 0 {width} {:.0}", total + foot)) role="img" aria-label=(title) {
            rect.paper x=(margin) y="0" width=(format!("{:.2}", side * columns.len() as f64)) height=(format!("{total:.2}")) {}
            (PreEscaped(&marks))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let written = [0.0, 1.0, 0.12345, 12.0, 123.456, 9999.7, 1e6, 1e-4, -2.5].map(number);
        assert_eq!(
            written,
            ["0", "1", "0.1235", "12", "123.5", "10000", "1.00e6", "1.00e-4", "-2.5"]
        );
    }

    #[test]
    fn a_line_goes_where_its_values_say() {
        let frame = Frame { title: "t <x>".into(), y: Some((0.0, 1.0)), ..Frame::default() };
        let points = vec![(0.0, 0.0), (1.0, 1.0)];
        let s = Series { name: "a & b".into(), points, ..Series::default() };
        let svg = lines(&frame, &[s]).unwrap().into_string();
        let points = svg.split("points=\"").last().unwrap().split('"').next().unwrap();
        let corner = |i: usize| -> Vec<f64> {
            points.split(' ').nth(i).unwrap().split(',').map(|v| v.parse().unwrap()).collect()
        };
        let (low, high) = (corner(0), corner(1));
        assert!(low[0] < high[0] && low[1] > high[1], "{points}");
        assert!(high[1] < 12.0 && low[1] > 190.0, "{points}");
        assert!(svg.contains("a &amp; b") && svg.contains("t &lt;x&gt;"), "{svg}");
    }

    #[test]
    fn empty_and_odd_data_draw() {
        let frame = Frame::default();
        for points in [vec![], vec![(1.0, f64::NAN)], vec![(3.0, 2.0)], vec![(0.0, 0.0); 2]] {
            let series = [Series { points, ..Series::default() }];
            lines(&frame, &series).unwrap();
            lines(&Frame { log: true, ..frame.clone() }, &series).unwrap();
        }
        bars(&frame, &[], &[]).unwrap();
        grid("g", &[], &[], |_, _| None);
    }
}

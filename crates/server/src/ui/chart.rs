//! The chart of when certificates end: an SVG with a title, a description and a name for each bar,
//! and the same figures in a table.

use maud::{Markup, html};
use tenure_engine::store::view::DayOfEnds;

use super::page::{number, query};
use crate::api::fleet::day_name;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 200;
/// Room for the figures at the left, and the days below.
const LEFT: u64 = 56;
const BELOW: u64 = 24;
const ABOVE: u64 = 12;
/// Room for a day's name on the axis.
const WORD_WIDTH: u64 = 72;
/// Most bars; more days than that are shown by week.
const BARS_MAX: usize = 31;
/// Most days named on the axis.
const WORDS: usize = 6;

/// One bar.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// Its first day, YYYY-MM-DD.
    pub(super) first: String,
    /// Its last day.
    pub(super) last: String,
    /// Certificates in force, without a successor, that end in it.
    pub(super) ends: u64,
}

/// Days as they are, or put together to weeks.
pub(super) fn bars(days: &[DayOfEnds]) -> Vec<Bar> {
    let each = if days.len() > BARS_MAX { 7 } else { 1 };
    let bars = days.chunks(each).filter_map(|days| {
        let (first, last) = (days.first()?, days.last()?);
        Some(Bar {
            first: day_name(first.day),
            last: day_name(last.day),
            ends: days.iter().map(|day| day.current).sum(),
        })
    });
    bars.collect()
}

/// The smallest of 1, 2, 5, 10, 20, 50, … that is not below `n`.
pub(super) fn scale(n: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let top = power.saturating_mul(step);
            if top >= n {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn span(bar: &Bar) -> String {
    if bar.first == bar.last {
        bar.first.clone()
    } else {
        format!("{} to {}", bar.first, bar.last)
    }
}

/// The chart.
pub(super) fn ends(bars: &[Bar]) -> Markup {
    let count = u64::try_from(bars.len()).unwrap_or(u64::MAX).max(1);
    let highest = bars.iter().map(|bar| bar.ends).max().unwrap_or(0);
    let top = scale(highest);
    let (plot_width, plot_height) = (WIDTH - LEFT, HEIGHT - BELOW - ABOVE);
    let base = HEIGHT - BELOW;
    let step = plot_width / count;
    let total: u64 = bars.iter().map(|bar| bar.ends).sum();
    let said = match bars.iter().max_by_key(|bar| bar.ends) {
        Some(only) if total == 1 => {
            format!("1 certificate in force ends in this time: {}.", span(only))
        }
        Some(most) if total > 0 => format!(
            "{} certificates in force end in this time; the most at once, {}, {}.",
            number(total),
            number(most.ends),
            span(most),
        ),
        _ => "No certificate in force ends in this time.".to_owned(),
    };
    let marks = if top.is_multiple_of(2) {
        vec![0, top / 2, top]
    } else {
        vec![0, top]
    };
    let height = |n: u64| {
        let exact = u128::from(n) * u128::from(plot_height) / u128::from(top.max(1));
        u64::try_from(exact).unwrap_or(plot_height)
    };
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
            aria-labelledby="ends-title ends-said" {
            title #ends-title { "Certificates by the day they end" }
            desc #ends-said { (said) }
            @for mark in marks {
                @let y = base - height(mark);
                line.rule x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                text.mark x=(LEFT - 8) y=(y + 4) text-anchor="end" { (number(mark)) }
            }
            @for (i, bar) in (0_u64..).zip(bars) {
                @let tall = if bar.ends == 0 { 0 } else { height(bar.ends).max(2) };
                @if tall > 0 {
                    rect.bar x=(LEFT + i * step + 1) y=(base - tall)
                        width=(step.saturating_sub(3).max(1)) height=(tall) rx="1" {
                        title { (span(bar)) ": " (number(bar.ends)) }
                    }
                }
            }
            @for (i, bar) in bars.iter().enumerate().step_by(bars.len().div_ceil(WORDS).max(1)) {
                @let x = LEFT + u64::try_from(i).unwrap_or(0) * step;
                @if x + WORD_WIDTH > WIDTH {
                    text.mark x=(WIDTH) y=(HEIGHT - 6) text-anchor="end" { (bar.first) }
                } @else {
                    text.mark x=(x) y=(HEIGHT - 6) { (bar.first) }
                }
            }
        }
        p.hint { (said) }
    }
}

/// A column of a histogram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// What is counted in it.
    pub(super) name: String,
    /// How many.
    pub(super) count: u64,
}

/// A histogram: a chart, and the same figures in a table.
pub(super) fn columns(title: &str, said: &str, columns: &[Column]) -> Markup {
    let count = u64::try_from(columns.len()).unwrap_or(u64::MAX).max(1);
    let top = scale(columns.iter().map(|column| column.count).max().unwrap_or(0));
    let (plot_height, base) = (HEIGHT - BELOW - ABOVE, HEIGHT - BELOW);
    let step = (WIDTH - LEFT) / count;
    let height = |n: u64| {
        let exact = u128::from(n) * u128::from(plot_height) / u128::from(top.max(1));
        u64::try_from(exact).unwrap_or(plot_height)
    };
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
            aria-labelledby="columns-title columns-said" {
            title #columns-title { (title) }
            desc #columns-said { (said) }
            @for mark in [0, top] {
                @let y = base - height(mark);
                line.rule x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                text.mark x=(LEFT - 8) y=(y + 4) text-anchor="end" { (number(mark)) }
            }
            @for (i, column) in (0_u64..).zip(columns) {
                @let tall = if column.count == 0 { 0 } else { height(column.count).max(2) };
                @if tall > 0 {
                    rect.bar x=(LEFT + i * step + 1) y=(base - tall)
                        width=(step.saturating_sub(3).max(1)) height=(tall) rx="1" {
                        title { (column.name) ": " (number(column.count)) }
                    }
                }
                text.mark x=(LEFT + i * step) y=(HEIGHT - 6) { (column.name) }
            }
        }
        p.hint { (said) }
        details {
            summary { "The same figures as a table" }
            div.wide {
                table {
                    caption { (title) }
                    thead { tr { th scope="col" { "Took" } th.n scope="col" { "How many" } } }
                    tbody {
                        @for column in columns { tr { td { (column.name) } td.n { (number(column.count)) } } }
                    }
                }
            }
        }
    }
}

/// The same figures as a table; what is zero is left out.
pub(super) fn table(bars: &[Bar]) -> Markup {
    html! {
        details {
            summary { "The same figures as a table" }
            div.wide {
                table {
                    caption { "Certificates in force, without a successor, by the day they end (UTC). Times without any are left out." }
                    thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.n scope="col" { "Certificates" } } }
                    tbody {
                        @for bar in bars.iter().filter(|bar| bar.ends > 0) {
                            tr {
                                td { (bar.first) }
                                td { (bar.last) }
                                td.n {
                                    a href={ "/certificates" (query(&[("from", &bar.first), ("to", &bar.last)])) } { (number(bar.ends)) }
                                }
                            }
                        }
                        @if bars.iter().all(|bar| bar.ends == 0) { tr { td colspan="3" { "None end in this time." } } }
                    }
                }
            }
        }
    }
}
